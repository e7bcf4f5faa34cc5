"""The web server as worker processes start it (`lswarn serve --workers`): settings come from the environment."""

import logging

from lswarn.logs import json_handler
from lswarn.settings import load_settings
from lswarn.web.app import create_app

settings = load_settings()
if settings.log == "json":
    logging.basicConfig(level=logging.WARNING, handlers=[json_handler()])
else:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
logging.getLogger("lswarn").setLevel(logging.INFO)
app = create_app(settings)
