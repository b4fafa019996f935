"""What ``manage.py migrate`` does, in any region."""
