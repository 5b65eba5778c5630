"""The benchmarks of `scripts/bench`: a module for each subject, whose function takes Databases and
returns figures.
"""
