"""Faults to plant in a database, one at a time."""

from tests.database.faults_access import ACCESS
from tests.database.faults_functions import FUNCTIONS
from tests.database.faults_objects import OBJECTS

FAULTS = [*ACCESS, *FUNCTIONS, *OBJECTS]
