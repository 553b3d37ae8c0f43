#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image. The base image needs Python 3.11 or later (Ubuntu 24.04).
set -euo pipefail
apt-get update
apt-get install -y python3-venv libseccomp2
cd /autograder/source
python3 -m venv .venv
.venv/bin/python -m pip install --no-cache-dir --editable .
