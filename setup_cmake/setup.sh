#!/usr/bin/env bash
# What the targets of the Makefile need on a fresh machine. Says what it does; a second call does nothing.
#
#   setup.sh system PURPOSE       Debian packages that are missing; PURPOSE: build, lint, sanitize or old-cpu
#   setup.sh venv DIR FILE...     the virtual environment DIR with what the requirements files list; a file
#                                 called *no-deps.txt is installed without the dependencies its packages ask for
#
# PYTHON names the Python to make the environment with (3.11 or newer, python3 if unset).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 1
}

have_command() { command -v "$1" >/dev/null; }
have_header() { [[ -e /usr/include/$1 || -e /usr/local/include/$1 ]]; }
have_file() { compgen -G "$1" >/dev/null; }
# ensurepip is what Debian leaves out of python3; torch.compile and AOTInductor compile against Python.h.
have_ensurepip() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
have_python_headers() {
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.isfile(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null
}

missing_packages() {
  case $1 in
    build)
      have_command "${CXX:-g++}" || echo g++
      have_command cmake || echo cmake
      have_command ninja || echo ninja-build
      have_command nm || echo binutils
      have_command "$python" || echo python3
      have_ensurepip || echo python3-venv
      have_python_headers || echo python3-dev
      have_header gtest/gtest.h || echo libgtest-dev
      have_header simde/x86/avx512.h || echo libsimde-dev
      have_header boost/context/detail/fcontext.hpp || echo libboost-context-dev
      ;;
    lint)
      have_command clang-format-14 || echo clang-format-14
      have_command clang-tidy-14 || echo clang-tidy-14
      ;;
    sanitize)
      have_command clang++-14 || echo clang-14
      have_file '/usr/lib/clang/14*/lib/linux/libclang_rt.tsan-x86_64.a' || echo libclang-rt-14-dev
      have_file '/usr/lib/llvm-14/lib/libomp.so' || echo libomp-14-dev
      have_command llvm-symbolizer-14 || echo llvm-14
      ;;
    old-cpu) have_command qemu-x86_64 || echo qemu-user ;;
    *) fail "no such purpose: $1" ;;
  esac
}

system() {
  local missing
  missing=$(missing_packages "$1" | paste -sd ' ')
  [[ -n $missing ]] || return 0
  have_command apt-get || fail "install what Debian calls $missing with this system's package manager, then call make again."
  ((EUID == 0)) || fail "run 'sudo apt-get install $missing', then call make again."
  say "installing Debian packages: $missing"
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086  # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
  missing=$(missing_packages "$1" | paste -sd ' ')
  [[ -z $missing ]] || fail "$missing was installed and still not found; is another compiler or Python first in PATH?"
}

venv() {
  local dir=$1 file name hash stamp
  shift
  if [[ ! -e $dir/bin/python ]]; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
      fail "Python 3.11 or newer is needed, but $python is $("$python" -V 2>&1); set PYTHON to a newer one."
    say "making the virtual environment ${dir#"$root"/} with $("$python" -V)"
    "$python" -m venv "$dir"
  fi
  "$dir/bin/python" -c '' || fail "$dir/bin/python does not run; delete $dir and call make again."

  for file in "$@"; do
    name=${file#"$root"/}
    hash=$(sha256sum <"$file" | cut -d' ' -f1)
    stamp=$dir/setup-${name//\//-}.sha256
    [[ -e $stamp && $(<"$stamp") == "$hash" ]] && continue
    say "installing what $name lists into ${dir#"$root"/}$(grep -q "^torch\b" "$file" && echo " (torch takes about 5 GB of disk)")"
    local options=(--quiet --disable-pip-version-check)
    [[ $file == *no-deps.txt ]] && options+=(--no-deps)
    "$dir/bin/python" -m pip install "${options[@]}" -r "$file"
    echo "$hash" >"$stamp"
  done

  # `import torchao_ops` finds the package of this checkout, which loads build/libtorchao_ops.so.
  local pth
  pth=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchao_ops_checkout.pth
  [[ -e $pth && $(<"$pth") == "$root/python" ]] || echo "$root/python" >"$pth"
}

case ${1:-} in
  system | venv) "$@" ;;
  *) fail "usage: setup.sh system build|lint|sanitize|old-cpu, or setup.sh venv DIR FILE..." ;;
esac
