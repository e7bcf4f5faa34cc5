"""The interface for people: a page made from its own description, without scripts and from nowhere else."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader

router = APIRouter()

PAGES = Environment(loader=PackageLoader("lswarn.web"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """What can be asked, of what, and what is answered."""
    described = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            facts = {"path": path, "method": method.upper(), **operation}
            groups.setdefault((operation.get("tags") or ["more"])[0], []).append(facts)
    return HTMLResponse(PAGES.get_template("docs.html.j2").render(info=described["info"], groups=groups))
