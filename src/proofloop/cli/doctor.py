"""`proofloop doctor`: what this machine can give."""

import click

from proofloop.cli.options import json_option
from proofloop.cli.output import print_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show what this machine can give: isolation, cores, devices.

    Tries every isolation tier, and says why one cannot be had and what to do about it.
    Exit code 0, whatever it finds.

    \b
    Example:
      proofloop doctor
      proofloop doctor --json | jq '.tiers'
    """
    from proofloop.runs.machine import examine_machine

    machine = examine_machine()
    if as_json:
        print_json(machine)
        return
    hardware = machine.hardware
    print(f"proofloop  {machine.proofloop}, Python {machine.python}, torch {machine.torch}")
    print(f"processor  {hardware.cpu} ({hardware.architecture}), {hardware.num_cores} cores")
    print(f"memory     {hardware.memory_bytes / 2**30:.1f} GiB")
    print(f"devices    {', '.join(machine.devices)}; torch uses {machine.torch_threads} threads")
    print(f"training   {machine.placement}")
    print(f"precision  {machine.precision}")
    print(f"sampling   {machine.sampling}")
    for status in machine.tiers:
        print(f"tier {status.tier}    {'yes' if status.available else 'no'}: {status.reason}")
        if status.advice:
            print(f"           {status.advice}")
    for warning in machine.warnings:
        print(f"warning    {warning}")
