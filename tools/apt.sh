# Sourced by the other scripts: apt_install PACKAGE... installs without a question, or says why it may not.

apt_install() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "this is no Debian or Ubuntu system" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal nobody can type a password.
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as_root=(sudo)
        else
            echo "neither root nor sudo" >&2
            return 1
        fi
    fi
    # wireshark-common asks whether everyone may capture; nothing here captures.
    if command -v debconf-set-selections >/dev/null; then
        echo "wireshark-common wireshark-common/install-setuid boolean false" | "${as_root[@]}" debconf-set-selections
    fi
    local apt=(timeout 600 apt-get -y -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}" update >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "$@" >/dev/null
}
