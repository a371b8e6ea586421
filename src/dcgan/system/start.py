"""Imported first by every script: until its work begins, Ctrl-C ends it in one line, whatever it is importing."""

from dcgan.system.signals import leave_at_once

leave_at_once()
