"""What both sides of the boundary share: the values' wire format and the requests' meaning."""
