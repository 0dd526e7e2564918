#!/usr/bin/env bats
# Help, manual and completions come from one table: they cannot differ.
load helpers

setup_file() { export TABLE="$BATS_FILE_TMPDIR/table"; "$JAIL" --complete-table >"$TABLE"; }

commands() { awk -F'\t' '$1 == "command" {print $2}' "$TABLE"; }
options() { awk -F'\t' -v c="$1" '$1 == "option" && $2 == c {print $3}' "$TABLE"; }
page_of() { case $1 in jls | jexec) echo "$TESTS/../man/$1.8" ;; *) echo "$TESTS/../man/jail-$1.8" ;; esac; }

@test "jail alone lists every command under a heading" {
  run "$JAIL"
  [ "$status" -eq 0 ]
  for c in $(awk -F'\t' '$1 == "command" && $3 !~ /FreeBSD/ {print $2}' "$TABLE"); do
    grep -q "^  $c " <<<"$output" || { echo "not listed: $c"; false; }
  done
  [ "$(grep -c '^[A-Z][a-z ]*$' <<<"$output")" -ge 5 ]
}

@test "the commands of the specification are all there" {
  for c in create start exec console logs stop kill restart pause resume set rename destroy run ls ps \
    stats inspect events wait cp doctor version; do
    commands | grep -qx "$c" || { echo "missing: $c"; false; }
  done
}

@test "every command has --help with each of its options" {
  for c in $(commands); do
    case $c in oci | jail-oci) continue ;; esac
    if [[ $c == jls || $c == jexec ]]; then
      ln -sf "$JAIL" "$BATS_TEST_TMPDIR/$c"
      run "$BATS_TEST_TMPDIR/$c" --help
    else
      run "$JAIL" "$c" --help
    fi
    [ "$status" -eq 0 ] || { echo "$c --help: $status"; false; }
    for o in $(options "$c"); do
      grep -q -e "$o\b" <<<"$output" || { echo "$c: $o"; false; }
    done
  done
}

@test "help fits a terminal: no line of the overview is wider than 80 columns" {
  run "$JAIL"
  [ -z "$(awk 'length($0) > 80' <<<"$output")" ]
}

@test "an unknown command offers the nearest" {
  refused_saying "did you mean 'start'?" strat
  refused_saying "see jail --help" frobnicate
}

@test "an unknown option offers the nearest" {
  refused_saying "did you mean '--memory'?" run --memroy 1G true
}

@test "each manual's SYNOPSIS names the options that --help prints, and no other" {
  for c in $(commands); do
    case $c in oci | jail-oci) continue ;; esac
    page=$(page_of "$c")
    [ -f "$page" ] || { echo "no page: $page"; false; }
    in_page=$(sed -n '/^\.SH SYNOPSIS/,/^\.SH DESCRIPTION/p' "$page" | sed 's/\\f[BIRP]//g; s/\\//g' | grep -o -E -e '--[a-z][a-z-]+' | sort -u)
    in_table=$(options "$c" | sort -u)
    [ "$in_page" = "$in_table" ] || { echo "$c:"; diff <(echo "$in_page") <(echo "$in_table"); false; }
  done
}

@test "each manual describes each option, and has examples, exit status and errors" {
  for c in $(commands); do
    case $c in oci | jail-oci) continue ;; esac
    page=$(page_of "$c")
    for o in $(options "$c"); do
      sed -n '/^\.SH OPTIONS/,/^\.SH EX/p' "$page" | sed 's/\\f[BIRP]//g; s/\\//g' | grep -q -e "$o\b" || { echo "$page: OPTIONS lacks $o"; false; }
    done
    for s in "EXIT STATUS" EXAMPLES ERRORS "SEE ALSO"; do
      grep -q "^\.SH \"*$s" "$page" || { echo "$page: no $s"; false; }
    done
  done
}

@test "the manual pages are well-formed" {
  for page in "$TESTS"/../man/*.[78]; do
    # Every page opens with its title and name; groff's warnings, where it is there, are failures.
    grep -q '^\.TH ' "$page"
    grep -q '^\.SH NAME' "$page"
    if command -v groff >/dev/null; then
      run groff -man -ww -Tutf8 -z "$page"
      [ -z "$output" ] || { echo "$page: $output"; false; }
    fi
  done
}

@test "the completions are those that the table gives" {
  for shell in bash zsh fish; do
    file="$TESTS/../completions/jail.$shell"
    "$TESTS/../completions/generate.sh" "$shell" <"$TABLE" | diff - "$file" || {
      echo "run: make completions"
      false
    }
  done
}

@test "each option is in the completions of each shell" {
  for shell in bash zsh fish; do
    file="$TESTS/../completions/jail.$shell"
    for c in $(commands); do
      for o in $(options "$c"); do
        grep -q -e "${o#--}" "$file" || { echo "$shell: $c $o"; false; }
      done
    done
  done
}

@test "bash completes commands, options, choices and jails" {
  complete_line() {
    bash -c '
      source "$1"
      shift
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
      _jail_complete
      printf "%s\n" "${COMPREPLY[@]}"' - "$TESTS/../completions/jail.bash" "$@"
  }
  run complete_line jail st
  [[ $output == *start* && $output == *stop* && $output == *stats* ]]
  run complete_line jail run --mem
  [ "$output" = "--mems
--memory" ] || [ "$output" = "--memory
--mems" ]
  run complete_line jail run --net ""
  [[ $output == *none* && $output == *host* ]]
}

@test "a table and its json hold the same rows" {
  export JAIL_STATE_DIR="$BATS_TEST_TMPDIR/s" JAIL_RUN_DIR="$BATS_TEST_TMPDIR/r"
  mkdir -m 700 "$JAIL_STATE_DIR" "$JAIL_RUN_DIR"
  "$JAIL" create one true
  "$JAIL" create two true
  run "$JAIL" ls
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 3 ]
  [ "$("$JAIL" ls --format json | json '",".join(r["name"] for r in x)')" = one,two ]
  [ "$("$JAIL" ls -q)" = "one
two" ]
  "$JAIL" destroy one two
}

@test "what cannot be written is an error, not silence" {
  run "$JAIL" version
  [ "$status" -eq 0 ]
  run bash -c '"$JAIL" version >/dev/full'
  [ "$status" -eq 125 ]
  [[ $output == "jail: cannot write to standard output"* ]]
}

@test "version tells the VERSION file's" {
  [ "$("$JAIL" version --format json | json 'x["version"]')" = "$(cat "$TESTS/../VERSION")" ]
  run "$JAIL" --version
  [[ $output == "jail $(cat "$TESTS/../VERSION") "* ]]
}
