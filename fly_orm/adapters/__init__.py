"""What knows an ORM: each adapter installs the routing connection in that ORM's database object."""
