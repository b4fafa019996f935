"""The test suites of the ORMs, run unwrapped on a primary and wrapped on its replicas, and compared test by test."""
