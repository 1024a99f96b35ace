# Sourced by dev: installs what the build needs. Nothing is asked; what is there already is left alone.
# shellcheck shell=bash

RUST_MINIMUM=1.87
ONEDNN_MINIMUM=3.2

BUILD_PACKAGES=(
  build-essential cmake ninja-build pkg-config ccache ca-certificates
  libgrpc++-dev libgrpc-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev libssl-dev
  libhwy-dev libcli11-dev libspdlog-dev prometheus-cpp-dev nlohmann-json3-dev libcpp-httplib-dev
  libtomlplusplus-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-grpcio python3-protobuf python3-pytest python3-pytest-timeout python3-numpy
)
CHECK_PACKAGES=(clang-format shellcheck)
# What tests/e2e/clients need, by command: Go, Node and Java may be here without Debian's packages.
CLIENT_TOOLS=(go:golang-go node:nodejs npm:npm javac:default-jdk-headless mvn:maven)

# The vendor's prebuilt oneDNN 3.2 (x86-64, GNU OpenMP).
ONEDNN_WHEELS='onednn-cpu-gomp==2023.2.0 --hash=sha256:2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb
onednn-devel-cpu-gomp==2023.2.0 --hash=sha256:9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284'

# google/rpc/*.proto: the errors' details (google.rpc.Status).
RPC_PROTOS_VERSION=1.63.2
RPC_PROTOS_WHEEL="googleapis-common-protos==$RPC_PROTOS_VERSION --hash=sha256:27a2499c7e8aff199665b22741997e485eccc8645aa9176c7c988e6fae507945"

version_at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

# Leaves in MISSING those of the packages that are not installed.
find_missing_packages() {
  local installed name
  # dpkg-query ends with an error when one of them is unknown, and lists the others all the same.
  installed=" $({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
    awk '$1 == "installed" {printf "%s ", $2}') "
  MISSING=()
  for name in "$@"; do
    [[ "$installed" == *" $name "* ]] || MISSING+=("$name")
  done
}

candidate_version() { # of a package, without epoch and Debian revision; empty when there is none
  apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" {print $2; exit}' | sed 's/^[0-9]*://; s/[-+~].*//'
}

refresh_package_lists() { # what follows, for the message when there is no root
  [[ -n "${LISTS_ARE_FRESH:-}" ]] && return
  prepare_root "apt-get update; $1"
  run_step "Fetching package lists" 600 "${AS_ROOT[@]}" apt-get -o DPkg::Lock::Timeout=300 update ||
    warn "apt-get update failed; trying with the lists at hand"
  LISTS_ARE_FRESH=1
}

install_packages() {
  local wanted
  wanted="apt-get install -y --no-install-recommends $*"
  command -v apt-get >/dev/null || fail "this is not a Debian machine. Install what these Debian packages hold: $*"
  refresh_package_lists "$wanted"
  prepare_root "$wanted"
  run_step "Installing $# packages: $*" 1800 "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" ||
    fail "installing failed. Try by hand: $wanted"
}

ensure_packages() {
  find_missing_packages "$@"
  ((${#MISSING[@]} == 0)) || install_packages "${MISSING[@]}"
}

# Rust ----------------------------------------------------------------------------------------------------------------

# Puts the folder of a new enough cargo first in PATH, or says that there is none.
find_rust() {
  local cargo version
  for cargo in "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
    [[ -x "$cargo" ]] || continue
    version=$("$cargo" --version 2>/dev/null | awk '{print $2}') || continue
    if [[ -n "$version" ]] && version_at_least "$version" "$RUST_MINIMUM"; then
      [[ "$(command -v cargo || true)" == "$cargo" ]] || export PATH="${cargo%/*}:$PATH"
      return 0
    fi
  done
  return 1
}

ensure_rust() {
  find_rust && return
  say "Rust $RUST_MINIMUM or later is not here"
  refresh_package_lists "apt-get install -y cargo-web rustc-web"
  if version_at_least "$(candidate_version cargo-web)" "$RUST_MINIMUM"; then
    install_packages cargo-web rustc-web
  elif version_at_least "$(candidate_version cargo)" "$RUST_MINIMUM"; then
    install_packages cargo rustc
  elif [[ -n "$(candidate_version rustup)" ]]; then
    install_packages rustup
    run_step "Installing the stable Rust toolchain" 900 rustup toolchain install stable --profile minimal ||
      fail "rustup could not install Rust. Try by hand: rustup toolchain install stable"
    rustup default stable >/dev/null 2>&1
  fi
  find_rust || fail "no Rust $RUST_MINIMUM or later. On Debian 12 add the security suite (cargo-web, rustc-web), or install rustup."
}

# oneDNN --------------------------------------------------------------------------------------------------------------

find_onednn() {
  local root version
  if [[ -n "${HOCKET_ONEDNN_ROOT:-}" ]]; then
    [[ -e "$HOCKET_ONEDNN_ROOT/include/oneapi/dnnl/dnnl.hpp" ]] || fail "HOCKET_ONEDNN_ROOT=$HOCKET_ONEDNN_ROOT holds no oneDNN"
    return 0
  fi
  for root in "$CACHE"/onednn-*; do
    [[ -e "$root/include/oneapi/dnnl/dnnl.hpp" && -e "$root/lib/libdnnl.so" ]] && return 0
  done
  version=$(dpkg-query -W -f '${db:Status-Status} ${Version}' libdnnl-dev 2>/dev/null) || return 1
  [[ "$version" == "installed "* ]] && version_at_least "${version#installed }" "$ONEDNN_MINIMUM"
}

ensure_onednn() {
  find_onednn && return
  refresh_package_lists "apt-get install -y libdnnl-dev"
  if version_at_least "$(candidate_version libdnnl-dev)" "$ONEDNN_MINIMUM"; then
    install_packages libdnnl-dev
  elif [[ "$(uname -m)" == x86_64 ]] && onednn_from_wheels; then
    :
  else
    onednn_from_source
  fi
  find_onednn || fail "no oneDNN $ONEDNN_MINIMUM or later. Give one with HOCKET_ONEDNN_ROOT=<folder with include/ and lib/>."
}

onednn_from_wheels() {
  local root="$CACHE/onednn-3.2" work
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/.onednn.XXXXXX")
  if ! unpack_wheels "Fetching oneDNN 3.2 (prebuilt, 30 MB)" "$ONEDNN_WHEELS" "$work"; then
    rm -rf "$work"
    warn "the prebuilt oneDNN could not be fetched"
    return 1
  fi
  mkdir "$work/root"
  cp -r "$work"/unpacked/*.data/data/. "$work/root/"
  # A wheel cannot hold links: it holds the library three times.
  ln -sf libdnnl.so.3.2 "$work/root/lib/libdnnl.so.3"
  ln -sf libdnnl.so.3 "$work/root/lib/libdnnl.so"
  rm -rf "$root"
  mv "$work/root" "$root"
  rm -rf "$work"
  say "oneDNN 3.2 is in $root"
}

# Fetches wheels, one line of a requirements file each, and leaves what they hold in FOLDER/unpacked.
unpack_wheels() { # what is done, the lines, the folder
  local python work=$3 wheel
  python=$(python_with_pip) || { install_packages python3-pip && python=/usr/bin/python3; }
  printf '%s\n' "$2" >"$work/requirements.txt"
  run_step "$1" 600 "$python" -m pip download --disable-pip-version-check \
    --require-hashes --no-deps --only-binary=:all: -d "$work" -r "$work/requirements.txt" || return 1
  for wheel in "$work"/*.whl; do
    "$python" -m zipfile -e "$wheel" "$work/unpacked" || return 1
  done
}

python_with_pip() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

# Builds Debian 13's source package. The mirror is the one this machine already uses; its own lists are left alone.
onednn_from_source() {
  local work mirror source version root
  say "Building oneDNN from Debian's source package: about 20 minutes on 2 cores"
  ensure_packages dpkg-dev build-essential cmake ninja-build
  # shellcheck disable=SC2016 # apt expands it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | grep -v security | head -n 1)
  [[ -n "$mirror" ]] || fail "no Debian mirror is configured, so oneDNN's source cannot be fetched"
  work=$(mktemp -d "${TMPDIR:-/tmp}/hocket-onednn.XXXXXX")
  mkdir -p "$work/lists/partial" "$CACHE"
  printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$work/sources.list"
  local apt=(apt-get -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User= -o "Dir::Cache=$work")
  run_step "Fetching Debian 13's list of sources" 300 "${apt[@]}" update || fail "Debian 13's list of sources could not be fetched"
  (cd "$work" && run_step "Fetching oneDNN's source" 600 "${apt[@]}" source onednn) || fail "oneDNN's source could not be fetched"
  source=$(find "$work" -maxdepth 1 -type d -name 'onednn-*' | head -n 1)
  version=${source##*/onednn-}
  version=${version%%+*}
  version_at_least "$version" "$ONEDNN_MINIMUM" || fail "the source package holds oneDNN '$version', older than $ONEDNN_MINIMUM"
  root="$CACHE/onednn-$version"
  run_step "Configuring oneDNN $version" 300 cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_INSTALL_PREFIX="$work/root" -DCMAKE_INSTALL_LIBDIR=lib -DDNNL_CPU_RUNTIME=OMP -DDNNL_BUILD_TESTS=OFF \
    -DDNNL_BUILD_EXAMPLES=OFF -DDNNL_BUILD_DOC=OFF -DONEDNN_BUILD_GRAPH=OFF || fail "oneDNN $version could not be configured"
  run_step "Building oneDNN $version" 7200 cmake --build "$work/build" --target install || fail "oneDNN $version could not be built"
  rm -rf "$root"
  mv "$work/root" "$root"
  rm -rf "$work"
  say "oneDNN $version is in $root"
}

# Protos of google.rpc -------------------------------------------------------------------------------------------------

ensure_rpc_protos() {
  local root="$CACHE/rpc-protos-$RPC_PROTOS_VERSION" work
  [[ -e "$root/google/rpc/error_details.proto" && -e "$root/google/rpc/status.proto" ]] && return
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/.rpc-protos.XXXXXX")
  unpack_wheels "Fetching the protos of google.rpc (0.2 MB)" "$RPC_PROTOS_WHEEL" "$work" ||
    { rm -rf "$work"; fail "the protos of google.rpc could not be fetched"; }
  mkdir -p "$work/root/google/rpc"
  cp "$work"/unpacked/google/rpc/*.proto "$work/root/google/rpc/"
  rm -rf "$root"
  mv "$work/root" "$root"
  rm -rf "$work"
}

# Clients in other languages -------------------------------------------------------------------------------------------

# Where these cannot be had, the tests that need them are skipped and say why.
ensure_client_tools() {
  [[ -n "${HOCKET_SKIP_SETUP:-}" ]] && return
  local pair packages=()
  for pair in "${CLIENT_TOOLS[@]}"; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
  done
  ((${#packages[@]} == 0)) && return
  (install_packages "${packages[@]}") || warn "clients in Go, Node and Java are tested only where their tools are"
}

setup() {
  [[ -n "${HOCKET_SKIP_SETUP:-}" ]] && { find_rust || true; return; }
  ensure_packages "${BUILD_PACKAGES[@]}"
  ensure_rust
  ensure_onednn
  ensure_rpc_protos
}
