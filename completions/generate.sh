#!/bin/sh
# Completions from the tables of commands and options:
#	jail --complete-table | completions/generate.sh bash|zsh|fish
# `make completions` writes the files beside this one; tests/bats/help.bats holds them against the
# program's tables.
set -eu
export LC_ALL=C
case ${1:-} in
bash | zsh | fish) ;;
*)
  echo "usage: jail --complete-table | $0 bash|zsh|fish" >&2
  exit 2
  ;;
esac
exec awk -F '\t' -v shell="$1" '
function quoted(s) { gsub(/\047/, "\047\\\047\047", s); return "\047" s "\047" }
# What a value is, by its metavariable: a kind that each shell knows how to complete.
function kind_of(meta) {
	if (meta ~ /^JAIL/) return "jail"
	if (meta ~ /^(FILE|DIR|SRC|PATH|DST|DEVICE|PROFILE|SOURCE)/) return "file"
	if (meta ~ /^SIGNAL/) return "signal"
	return "none"
}
$1 == "command" {
	if ($2 == "oci" || $2 == "jail-oci") next
	order[++n] = $2; hidden[$2] = $3 ~ /FreeBSD/; operands[$2] = $4; summary[$2] = $5
}
$1 == "option" {
	options[$2] = options[$2] " " $3
	count[$2]++
	long[$2, count[$2]] = $3; short[$2, count[$2]] = $4; meta[$2, count[$2]] = $5; help[$2, count[$2]] = $6
}
$1 == "choice" { choices[$2, $3] = choices[$2, $3] (choices[$2, $3] ? " " : "") $4 }

function bash_out(  i, k, c, v) {
	print "# bash completion for jail, made by generate.sh from the option tables: not to be edited."
	print "_jail_options() {\n  case $1 in"
	for (i = 1; i <= n; i++) if (options[order[i]]) print "  " order[i] ") echo \047" substr(options[order[i]], 2) "\047 ;;"
	print "  esac\n}\n"
	print "# What follows an option: words, @jail, @file, @signal, @none; nothing for a flag."
	print "_jail_value() {\n  case \"$1 $2\" in"
	for (i = 1; i <= n; i++) {
		c = order[i]
		for (k = 1; k <= count[c]; k++) {
			if (meta[c, k] == "-") continue
			v = choices[c, long[c, k]] ? choices[c, long[c, k]] : "@" kind_of(meta[c, k])
			printf "  \"%s %s\"%s) echo \047%s\047 ;;\n", c, long[c, k], short[c, k] == "-" ? "" : " | \"" c " " short[c, k] "\"", v
		}
	}
	print "  esac\n}\n"
	print "_jail_operand() {\n  case $1 in"
	for (i = 1; i <= n; i++) {
		c = order[i]
		if (operands[c] ~ /CMD/ && operands[c] ~ /JAIL/) v = "@jail-then-command"
		else if (operands[c] ~ /CMD/ && operands[c] ~ /NAME/) v = "@name-then-command"
		else if (operands[c] ~ /CMD/) v = "@command"
		else if (operands[c] ~ /SOURCE/) v = "@jail-or-file"
		else if (operands[c] ~ /JAIL/) v = "@jail"
		else v = "@none"
		print "  " c ") echo " v " ;;"
	}
	print "  esac\n}\n"
	printf "_jail_commands=\047"
	for (i = 1; i <= n; i++) if (!hidden[order[i]]) printf "%s%s", i == 1 ? "" : " ", order[i]
	print "\047\n"
	while ((getline line < (dir "/bash.in")) > 0) print line
}

function zsh_text(s) { gsub(/\[/, "\\[", s); gsub(/\]/, "\\]", s); gsub(/:/, "\\:", s); return s }
function zsh_out(  i, k, c, v, what, spec) {
	print "#compdef jail jls jexec\n# zsh completion for jail, made by generate.sh from the option tables: not to be edited.\n"
	print "_jail_names() {\n  local -a names\n  names=(${(f)\"$(jail ls -q 2>/dev/null)\"})\n  compadd -a names\n}\n"
	print "_jail_signals() { compadd HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH }\n"
	print "_jail_of() {\n  case $1 in"
	for (i = 1; i <= n; i++) {
		c = order[i]
		print "  " c ")\n    _arguments -s \\"
		for (k = 1; k <= count[c]; k++) {
			if (meta[c, k] == "-") what = ""
			else {
				v = choices[c, long[c, k]]
				if (v) what = ":" zsh_text(meta[c, k]) ":(" v ")"
				else if (kind_of(meta[c, k]) == "jail") what = ":jail:_jail_names"
				else if (kind_of(meta[c, k]) == "file") what = ":" zsh_text(meta[c, k]) ":_files"
				else if (kind_of(meta[c, k]) == "signal") what = ":signal:_jail_signals"
				else what = ":" zsh_text(meta[c, k]) ": "
			}
			if (short[c, k] == "-") spec = quoted(long[c, k] (what ? "=" : "") "[" zsh_text(help[c, k]) "]" what)
			else spec = quoted("(" short[c, k] " " long[c, k] ")" ) "{" short[c, k] (what ? "+" : "") "," long[c, k] (what ? "=" : "") "}" quoted("[" zsh_text(help[c, k]) "]" what)
			print "      " spec " \\"
		}
		if (operands[c] ~ /CMD/ && operands[c] ~ /JAIL/) print "      \0471:jail:_jail_names\047 \047*::command: _normal\047"
		else if (operands[c] ~ /CMD/ && operands[c] ~ /NAME/) print "      \0471:name: \047 \047*::command: _normal\047"
		else if (operands[c] ~ /CMD/) print "      \047*::command: _normal\047"
		else if (operands[c] ~ /SOURCE/) print "      \047*:file:_files\047"
		else if (operands[c] ~ /JAIL/) print "      \047*:jail:_jail_names\047"
		else print "      \047*: :\047"
		print "    ;;"
	}
	print "  esac\n}\n"
	print "_jail() {\n  local -a list\n  if [[ $service != jail ]]; then\n    _jail_of $service\n    return\n  fi\n  list=("
	for (i = 1; i <= n; i++) if (!hidden[order[i]]) print "    " quoted(order[i] ":" zsh_text(summary[order[i]]))
	print "  )\n  if (( CURRENT == 2 )); then\n    _describe -t commands command list\n    return\n  fi\n  shift words\n  (( CURRENT-- ))\n  _jail_of $words[1]\n}\n\n_jail \"$@\""
}

function fish_out(  i, k, c, cond, v) {
	print "# fish completion for jail, made by generate.sh from the option tables: not to be edited."
	print "function __jail_names\n    jail ls -q 2>/dev/null\nend\n"
	print "complete -c jail -f"
	for (i = 1; i <= n; i++) {
		c = order[i]
		if (!hidden[c]) print "complete -c jail -n __fish_use_subcommand -a " c " -d " quoted(summary[c])
	}
	for (i = 1; i <= n; i++) {
		c = order[i]
		cond = hidden[c] ? "complete -c " c : "complete -c jail -n \047__fish_seen_subcommand_from " c "\047"
		for (k = 1; k <= count[c]; k++) {
			v = ""
			if (meta[c, k] != "-") {
				v = " -r"
				if (choices[c, long[c, k]]) v = " -x -a " quoted(choices[c, long[c, k]])
				else if (kind_of(meta[c, k]) == "file") v = " -r -F"
				else if (kind_of(meta[c, k]) == "jail") v = " -x -a \047(__jail_names)\047"
				else if (kind_of(meta[c, k]) == "signal") v = " -x -a \047HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH\047"
				else v = " -x"
			}
			print cond " -l " substr(long[c, k], 3) (short[c, k] == "-" ? "" : " -s " substr(short[c, k], 2)) v " -d " quoted(help[c, k])
		}
		if (operands[c] ~ /JAIL/) print cond " -a \047(__jail_names)\047 -d jail"
		if (operands[c] ~ /SOURCE|CMD/) print cond " -F"
	}
}
END {
	if (shell == "bash") bash_out()
	else if (shell == "zsh") zsh_out()
	else fish_out()
}' dir="$(dirname "$0")" -
