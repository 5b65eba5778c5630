"""Who can do what with a project's own tables: generated rows of two tenants, every caller, every
action.
"""
