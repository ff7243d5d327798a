"""Q on MongoDB: the only package that speaks PyMongo."""
