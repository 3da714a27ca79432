"""A party: a standing service with an identity, which clients and the other parties connect to."""
