#!/bin/sh
# tools/real_servers.sh FOLDER: servers that speak as OpenAI does, each in an environment of its own in FOLDER, by the
# Python that $PYTHON names (python3). About 900 MB, a minute or two, all from PyPI.
set -eu
folder=$1

environment() { # NAME PACKAGES...
  name=$1
  shift
  rm -rf "${folder:?}/$name"
  "${PYTHON:-python3}" -m venv "$folder/$name" || "${PYTHON:-python3}" -m venv --without-pip "$folder/$name"
  python=$folder/$name/bin/python
  "$python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m pip --python "$python" install -q pip
  "$python" -m pip install -q --disable-pip-version-check "$@"
}

mkdir -p "$folder"
environment llama_cpp xllamacpp==2026.10.11549 gguf==0.19.0
environment mocklimit mocklimit==0.6.0
environment litellm 'litellm[proxy]==1.108.7'
