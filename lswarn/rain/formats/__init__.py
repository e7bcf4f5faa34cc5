"""How each provider lays a day of rain into bytes; one module a layout, and `field` for what all of them must prove."""
