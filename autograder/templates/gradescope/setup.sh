#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image, which is Ubuntu's: 22.04 has Python 3.10, and 3.11 beside it.
set -euo pipefail
cd "$(dirname "$0")"
[ -d source ] && cd source # Gradescope unpacks the zip into source/, and copies the two scripts beside it
apt-get update
apt-get install -y --no-install-recommends libseccomp2 ca-certificates
new='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
python=""
for try in python3.14 python3.13 python3.12 python3.11 python3; do
    if ! "$try" -c "$new" 2>/dev/null; then
        apt-get install -y --no-install-recommends "$try" "$try-venv" >/dev/null 2>&1 || continue
    fi
    if "$try" -c "$new" 2>/dev/null; then
        python="$try"
        break
    fi
done
if [ -z "$python" ]; then
    echo "This image has no Python 3.11 or later, and Ubuntu offers none. Choose a newer base image (Ubuntu 22.04 or 24.04)." >&2
    exit 1
fi
TORCH_INDEX="${TORCH_INDEX:-cpu}" "$python" install.py
