"""When and where a run was made, and what repeats it. Pure."""

from scripts.comparison.document import Document


def origin(document: Document) -> str:
    """Return when and where a run was made, and what repeats it."""
    settings = document.settings
    machine = ", ".join(f"{name} {value}" for name, value in document.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in document.versions.items())
    return (
        f"Measured on {str(settings.get('began', 'an unknown day'))[:10]}; {machine}; {versions}. "
        f"The same again: `{command(document)}`."
    )


def command(document: Document) -> str:
    """Return the command that repeats a run."""
    settings = document.settings
    if settings.get("quick"):
        return "scripts/compare --quick" + (" --faults" if settings.get("faults") else "")
    names = ("users", "messages", "rate", "seconds", "repeats")
    given = {name: settings[name] for name in names if name in settings}
    given |= {"size": settings.get("size_bytes", 100)}
    listed = {"modes": settings.get("words", ()), "nodes": settings.get("nodes", ())}
    words = [f"--{name} {','.join(map(str, values))}" for name, values in listed.items()]
    words += [f"--{name} {value:g}" for name, value in given.items()]
    return " ".join(["scripts/compare", *words, *(["--faults"] if settings.get("faults") else [])])
