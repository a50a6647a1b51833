"""How fast copies of a call become one healed master."""
