"""Agents: think–act turns in a workspace, token-exact, within limits and one permission policy.

sandbox.open_workspace(base) -> Site(workspace, permissions) -> episode(…) -> drive(engine, …)
"""
