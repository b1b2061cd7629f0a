#!/bin/sh
# Makes configure from configure.ac.  Needed in a clone only, not in a release tarball.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force
