#!/usr/bin/env bats
# make install and make uninstall read one list.
load helpers

@test "install puts everything below DESTDIR, uninstall takes it all away" {
  to="$BATS_TEST_TMPDIR/to"
  make -s -C "$TESTS/.." install DESTDIR="$to" PREFIX=/usr
  [ "$("$to/usr/bin/jail" version --format json | json 'x["version"]')" = "$(cat "$TESTS/../VERSION")" ]
  [ -f "$to/usr/share/man/man8/jail-run.8" ]
  [ -f "$to/usr/share/man/man7/jail-security.7" ]
  [ -f "$to/usr/share/bash-completion/completions/jail" ]
  for link in jls jexec jail-oci; do [ "$(readlink "$to/usr/bin/$link")" = jail ]; done
  run find "$to" -type f -not -path "$to/usr/*"
  [ -z "$output" ]
  make -s -C "$TESTS/.." uninstall DESTDIR="$to" PREFIX=/usr
  run find "$to" ! -type d
  [ -z "$output" ]
}

@test "the installed names of FreeBSD work" {
  to="$BATS_TEST_TMPDIR/to"
  make -s -C "$TESTS/.." install DESTDIR="$to" PREFIX=/usr
  run "$to/usr/bin/jls" --help
  [ "$status" -eq 0 ]
  [[ $output == "usage: jls "* ]]
  run "$to/usr/bin/jexec" --help
  [[ $output == "usage: jexec "* ]]
}
