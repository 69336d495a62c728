"""Words to calls: click lives here alone. Nothing heavy is imported before a command runs.

``main.cli`` is the group of all commands. A command resolves its request, calls one verb of ``pipeline`` or
``training``, and shows the typed result through ``output.show``: as JSON, or as ``rendering`` words it.
"""
