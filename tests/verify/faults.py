"""Faults to plant in a database, one at a time."""

from tests.verify.faults_access import ACCESS
from tests.verify.faults_functions import FUNCTIONS
from tests.verify.faults_objects import OBJECTS

FAULTS = [*ACCESS, *FUNCTIONS, *OBJECTS]
