#!/bin/sh
# runtime.sh PROGRAM FOLDER: creates in FOLDER a root file system with PROGRAM and the shared libraries
# that it loads, without a shell or a package manager. For image scanners it lists the packages of
# the libraries (var/lib/dpkg/status.d), and it includes their licenses.
set -eu
[ $# = 2 ] || { echo "usage: runtime.sh PROGRAM FOLDER" >&2; exit 2; }
program=$1 root=$2

libraries=$(ldd "$program")
if missing=$(echo "$libraries" | grep 'not found'); then
	echo "$program lacks $missing" >&2
	exit 1
fi
mkdir -p "$root/usr/local/bin" "$root/usr/lib" "$root/etc" "$root/var/lib/dpkg/status.d"
cp "$program" "$root/usr/local/bin/proposer"
echo 'proposer:x:65532:65532::/:' >"$root/etc/passwd"
echo 'proposer:x:65532:' >"$root/etc/group"

files=
for library in $(echo "$libraries" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p'); do
	# Under the requested name. Without a cache the loader searches /usr/lib.
	case $library in
	*/ld-linux*) mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library" ;;
	*) cp -L "$library" "$root/usr/lib/" ;;
	esac
	# dpkg knows the file by its path in /usr/lib or in /lib, which are the same.
	file=$(readlink -f "$library")
	files="$files $file ${file#/usr}"
done

# dpkg -S reports an error for the path that it does not know.
for package in $(dpkg -S $files 2>/dev/null | sed 's/:.*//' | sort -u); do
	dpkg -s "$package" >"$root/var/lib/dpkg/status.d/$package"
	mkdir -p "$root/usr/share/doc/$package"
	cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done
