"""The verdict where it is enforced: protocols of clusters and registries, each mapped to the same inspection.

The server holds no policy of its own: a rule names a profile and policies, as the command line does.
"""
