#!/bin/sh
# install.sh MESON BUILD SOURCE PREFIX LIBDIR: what `meson install` puts into place, found in a staged tree (DESTDIR).
# The plugin and the programs find their library there without LD_LIBRARY_PATH; the library's example builds with the
# pkg-config file alone, as C and with the header as C++; the default weights lie where the plugin looks for them.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
meson=$1 build=$2 source=$3 prefix=$4 libdir=$5
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
stage=$folder/stage
root=$stage$prefix

fail () { echo "install.sh: $1"; exit 1; }

"$meson" install -C "$build" --no-rebuild --quiet --destdir "$stage" >"$folder/log" 2>&1 ||
  { cat "$folder/log"; fail 'meson install'; }
for file in "$libdir/libdeblurunet.so" "$libdir/libdeblurunet.so.0" "$libdir/pkgconfig/deblurunet.pc" \
    "$libdir/gstreamer-1.0/libgstdeblurunet.so" include/deblurunet.h bin/deblurunet-train share/man/man1/deblurunet-train.1; do
  [ -f "$root/$file" ] || fail "$prefix/$file is not installed"
done
[ ! -e "$root/$libdir/libdeblurunet-internal.a" ] || fail 'the internal library is installed'
readelf -d "$root/$libdir/libdeblurunet.so" | grep -q 'soname: \[libdeblurunet.so.0\]' || fail 'soname'

# Debian's packages take every file, but for the GPU's module, which they are built without.
set -f
find "$root" ! -type d ! -name '*cuda*' | while read -r path; do
  file=${path#"$root/$libdir/"}
  # Debian's libraries are in a folder of their architecture, wherever this build has them.
  if [ "$file" = "$path" ]; then file=usr/${path#"$root/"}; else file=usr/lib/ARCHITECTURE/$file; fi
  found=
  for pattern in $(find "$source/debian" -name "*.install" -exec cat {} +); do
    case $file in $pattern | $pattern/*) found=yes ;; esac
  done
  [ "$found" ] || fail "$file is in no debian/*.install"
done
set +f

unset LD_LIBRARY_PATH
version=$("$root/bin/deblurunet-train" --version) || fail 'deblurunet-train does not run'
head -n 1 "$source/debian/changelog" | grep -q "^deblurunet (${version#deblurunet-train }-" ||
  fail 'debian/changelog has another version'

# The library's user.
mkdir "$folder/pkgconfig"
sed "s|^prefix=.*|prefix=$root|" "$root/$libdir/pkgconfig/deblurunet.pc" >"$folder/pkgconfig/deblurunet.pc"
export PKG_CONFIG_PATH="$folder/pkgconfig"
flags () { pkg-config "$@" deblurunet; }
# shellcheck disable=SC2046
cc -Wall -Werror $(flags --cflags) "$source/examples/deblur-ppm.c" -o "$folder/deblur-ppm" $(flags --libs) \
  -Wl,-rpath,"$root/$libdir" || fail 'the example does not build with pkg-config'
[ "deblurunet-train $(pkg-config --modversion deblurunet)" = "$version" ] ||
  fail 'the version of deblurunet.pc'
if command -v c++ >/dev/null; then
  printf '#include <deblurunet.h>\nint main () { DuConfig config; du_config_init (&config); return 0; }\n' \
    >"$folder/header.cc"
  # shellcheck disable=SC2046
  c++ -Wall -Wextra -Wpedantic -Werror $(flags --cflags) "$folder/header.cc" -o "$folder/header" $(flags --libs) \
    -Wl,-rpath,"$root/$libdir" || fail 'the header does not compile as C++'
  "$folder/header" || fail 'a C++ program'
fi
! "$folder/deblur-ppm" /nonexistent </dev/null 2>/dev/null || fail 'the example'

# The element, with GStreamer's own plugins in GStreamer's own place.
export GST_PLUGIN_PATH_1_0="$root/$libdir/gstreamer-1.0" GST_PLUGIN_SYSTEM_PATH_1_0='' \
  GST_REGISTRY_1_0="$folder/registry"
unset DEBLURUNET_WEIGHTS
gst-inspect-1.0 deblurunet >"$folder/log" 2>&1 || { cat "$folder/log"; fail 'gst-inspect-1.0'; }
weights=$(strings -n 8 "$root/$libdir/gstreamer-1.0/libgstdeblurunet.so" | grep '/deblurunet$' | head -n 1)
[ -n "$weights" ] || fail 'the plugin has no place for its weights'
if [ -f "$source/plugin/weights/deblurunet.safetensors" ]; then
  cmp "$source/plugin/weights/deblurunet.safetensors" "$stage$weights/deblurunet.safetensors" ||
    fail 'the default weights are not where the plugin looks for them'
fi
