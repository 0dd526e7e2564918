# bash completion for jail, made by generate.sh from the option tables: not to be edited.
_jail_options() {
  case $1 in
  run) echo '--name --detach --tty --detach-keys --trace --host --work --root --volume --tmpfs --mask --readonly --device --sys --env --cwd --user --hostname --init --persist --restart --log --stop-signal --stop-timeout --label --memory --swap --pids --cpu --cpu-weight --cpuset --mems --io-weight --read-bps --write-bps --read-iops --write-iops --rlimit --time --net --cap-add --cap-drop --seccomp --allow --isolation' ;;
  exec) echo '--tty --env --user --cwd --detach-keys' ;;
  console) echo '--detach-keys' ;;
  cp) echo '--owners --timeout' ;;
  create) echo '--tty --host --work --root --volume --tmpfs --mask --readonly --device --sys --env --cwd --user --hostname --init --persist --restart --log --stop-signal --stop-timeout --label --memory --swap --pids --cpu --cpu-weight --cpuset --mems --io-weight --read-bps --write-bps --read-iops --write-iops --rlimit --time --net --cap-add --cap-drop --seccomp --allow --isolation' ;;
  start) echo '--attach --detach-keys --trace' ;;
  stop) echo '--signal --timeout' ;;
  kill) echo '--signal' ;;
  restart) echo '--signal --timeout' ;;
  destroy) echo '--force' ;;
  wait) echo '--timeout --format' ;;
  ls) echo '--running --quiet --format' ;;
  ps) echo '--format' ;;
  stats) echo '--watch --format' ;;
  logs) echo '--follow --tail --since --times --raw --format' ;;
  inspect) echo '--format' ;;
  events) echo '--follow --new --since --format' ;;
  set) echo '--memory --swap --pids --cpu --cpu-weight --cpuset --mems --io-weight --read-bps --write-bps --read-iops --write-iops --rlimit --time' ;;
  image) echo '--format --quiet' ;;
  doctor) echo '--format' ;;
  version) echo '--format' ;;
  jls) echo '--jail --names --quiet --format' ;;
  jexec) echo '--login --directory --host-user --jail-user' ;;
  esac
}

# What follows an option: words, @jail, @file, @signal, @none; nothing for a flag.
_jail_value() {
  case "$1 $2" in
  "run --name" | "run -n") echo '@none' ;;
  "run --detach-keys") echo '@none' ;;
  "run --trace") echo '@file' ;;
  "run --work") echo '@file' ;;
  "run --root" | "run -r") echo '@file' ;;
  "run --volume" | "run -v") echo '@file' ;;
  "run --tmpfs") echo '@file' ;;
  "run --mask") echo '@file' ;;
  "run --readonly") echo '@file' ;;
  "run --device") echo '@file' ;;
  "run --sys") echo 'none ro' ;;
  "run --env" | "run -e") echo '@none' ;;
  "run --cwd") echo '@file' ;;
  "run --user" | "run -u") echo '@none' ;;
  "run --hostname") echo '@none' ;;
  "run --restart") echo '@none' ;;
  "run --log") echo '@none' ;;
  "run --stop-signal") echo '@signal' ;;
  "run --stop-timeout") echo '@none' ;;
  "run --label") echo '@none' ;;
  "run --memory" | "run -m") echo '@none' ;;
  "run --swap") echo '@none' ;;
  "run --pids" | "run -p") echo '@none' ;;
  "run --cpu" | "run -c") echo '@none' ;;
  "run --cpu-weight") echo '@none' ;;
  "run --cpuset") echo '@none' ;;
  "run --mems") echo '@none' ;;
  "run --io-weight") echo '@none' ;;
  "run --read-bps") echo '@file' ;;
  "run --write-bps") echo '@file' ;;
  "run --read-iops") echo '@file' ;;
  "run --write-iops") echo '@file' ;;
  "run --rlimit") echo '@none' ;;
  "run --time") echo '@none' ;;
  "run --net") echo 'none host' ;;
  "run --cap-add") echo '@none' ;;
  "run --cap-drop") echo '@none' ;;
  "run --seccomp") echo '@file' ;;
  "run --allow") echo 'debug personality userns mount io_uring bpf perf keyctl tiocsti sockets aio mqueue numa userfaultfd fanotify handles hostname time vmsplice ldt rawio modules syslog swap quota reboot compat' ;;
  "run --isolation") echo 'jail auto vm' ;;
  "exec --env" | "exec -e") echo '@none' ;;
  "exec --user" | "exec -u") echo '@none' ;;
  "exec --cwd") echo '@file' ;;
  "exec --detach-keys") echo '@none' ;;
  "console --detach-keys") echo '@none' ;;
  "cp --timeout" | "cp -t") echo '@none' ;;
  "create --work") echo '@file' ;;
  "create --root" | "create -r") echo '@file' ;;
  "create --volume" | "create -v") echo '@file' ;;
  "create --tmpfs") echo '@file' ;;
  "create --mask") echo '@file' ;;
  "create --readonly") echo '@file' ;;
  "create --device") echo '@file' ;;
  "create --sys") echo 'none ro' ;;
  "create --env" | "create -e") echo '@none' ;;
  "create --cwd") echo '@file' ;;
  "create --user" | "create -u") echo '@none' ;;
  "create --hostname") echo '@none' ;;
  "create --restart") echo '@none' ;;
  "create --log") echo '@none' ;;
  "create --stop-signal") echo '@signal' ;;
  "create --stop-timeout") echo '@none' ;;
  "create --label") echo '@none' ;;
  "create --memory" | "create -m") echo '@none' ;;
  "create --swap") echo '@none' ;;
  "create --pids" | "create -p") echo '@none' ;;
  "create --cpu" | "create -c") echo '@none' ;;
  "create --cpu-weight") echo '@none' ;;
  "create --cpuset") echo '@none' ;;
  "create --mems") echo '@none' ;;
  "create --io-weight") echo '@none' ;;
  "create --read-bps") echo '@file' ;;
  "create --write-bps") echo '@file' ;;
  "create --read-iops") echo '@file' ;;
  "create --write-iops") echo '@file' ;;
  "create --rlimit") echo '@none' ;;
  "create --time") echo '@none' ;;
  "create --net") echo 'none host' ;;
  "create --cap-add") echo '@none' ;;
  "create --cap-drop") echo '@none' ;;
  "create --seccomp") echo '@file' ;;
  "create --allow") echo 'debug personality userns mount io_uring bpf perf keyctl tiocsti sockets aio mqueue numa userfaultfd fanotify handles hostname time vmsplice ldt rawio modules syslog swap quota reboot compat' ;;
  "create --isolation") echo 'jail auto vm' ;;
  "start --detach-keys") echo '@none' ;;
  "start --trace") echo '@file' ;;
  "stop --signal" | "stop -s") echo '@signal' ;;
  "stop --timeout" | "stop -t") echo '@none' ;;
  "kill --signal" | "kill -s") echo '@signal' ;;
  "restart --signal" | "restart -s") echo '@signal' ;;
  "restart --timeout" | "restart -t") echo '@none' ;;
  "wait --timeout" | "wait -t") echo '@none' ;;
  "wait --format") echo 'table json' ;;
  "ls --format") echo 'table json' ;;
  "ps --format") echo 'table json' ;;
  "stats --watch" | "stats -w") echo '@none' ;;
  "stats --format") echo 'table json' ;;
  "logs --tail" | "logs -n") echo '@none' ;;
  "logs --since" | "logs -s") echo '@none' ;;
  "logs --format") echo 'table json' ;;
  "inspect --format") echo 'table json' ;;
  "events --since" | "events -s") echo '@none' ;;
  "events --format") echo 'table json' ;;
  "set --memory" | "set -m") echo '@none' ;;
  "set --swap") echo '@none' ;;
  "set --pids" | "set -p") echo '@none' ;;
  "set --cpu" | "set -c") echo '@none' ;;
  "set --cpu-weight") echo '@none' ;;
  "set --cpuset") echo '@none' ;;
  "set --mems") echo '@none' ;;
  "set --io-weight") echo '@none' ;;
  "set --read-bps") echo '@file' ;;
  "set --write-bps") echo '@file' ;;
  "set --read-iops") echo '@file' ;;
  "set --write-iops") echo '@file' ;;
  "set --rlimit") echo '@none' ;;
  "set --time") echo '@none' ;;
  "image --format") echo 'table json' ;;
  "doctor --format") echo 'table json' ;;
  "version --format") echo 'table json' ;;
  "jls --jail" | "jls -j") echo '@jail' ;;
  "jls --format") echo 'table json' ;;
  "jexec --directory" | "jexec -d") echo '@file' ;;
  "jexec --host-user" | "jexec -u") echo '@none' ;;
  "jexec --jail-user" | "jexec -U") echo '@none' ;;
  esac
}

_jail_operand() {
  case $1 in
  run) echo @command ;;
  exec) echo @jail-then-command ;;
  console) echo @jail ;;
  cp) echo @jail-or-file ;;
  create) echo @name-then-command ;;
  start) echo @jail ;;
  stop) echo @jail ;;
  kill) echo @jail ;;
  restart) echo @jail ;;
  pause) echo @jail ;;
  resume) echo @jail ;;
  destroy) echo @jail ;;
  wait) echo @jail ;;
  ls) echo @jail ;;
  ps) echo @jail ;;
  stats) echo @jail ;;
  logs) echo @jail ;;
  inspect) echo @jail ;;
  events) echo @jail ;;
  set) echo @jail ;;
  rename) echo @jail ;;
  image) echo @none ;;
  doctor) echo @none ;;
  version) echo @none ;;
  jls) echo @none ;;
  jexec) echo @jail-then-command ;;
  esac
}

_jail_commands='run exec console cp create start stop kill restart pause resume destroy wait ls ps stats logs inspect events set rename image doctor version'

_jail_names() { compgen -W "$(jail ls -q 2>/dev/null)" -- "$1"; }

# Completes one word that is of a kind, into COMPREPLY.
_jail_offer() {
  local kind=$1 cur=$2
  case $kind in
  @jail) mapfile -t COMPREPLY < <(_jail_names "$cur") ;;
  @file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
  @jail-or-file) mapfile -t COMPREPLY < <(_jail_names "$cur"; compgen -f -- "$cur") ;;
  @command) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
  @signal) mapfile -t COMPREPLY < <(compgen -W 'HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH' -- "$cur") ;;
  @none) COMPREPLY=() ;;
  *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$cur") ;;
  esac
}

# Operands before the cursor; options and their values are not among them.
_jail_count_operands() {
  local cmd=$1 i n=0 word
  for ((i = $2; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      [[ $word == *=* || -z $(_jail_value "$cmd" "$word") ]] || ((i++))
    else
      ((n++))
    fi
  done
  echo "$n"
}

_jail_complete() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd first=2 value operand n
  COMPREPLY=()
  case ${COMP_WORDS[0]##*/} in
  jls | jexec) cmd=${COMP_WORDS[0]##*/} first=1 ;;
  *)
    if ((COMP_CWORD == 1)); then
      _jail_offer "$_jail_commands" "$cur"
      return
    fi
    cmd=${COMP_WORDS[1]}
    ;;
  esac
  value=$(_jail_value "$cmd" "$prev")
  if [[ -n $value ]]; then
    _jail_offer "$value" "$cur"
    return
  fi
  if [[ $cur == -* ]]; then
    _jail_offer "$(_jail_options "$cmd") --help" "$cur"
    return
  fi
  operand=$(_jail_operand "$cmd")
  n=$(_jail_count_operands "$cmd" "$first")
  case $operand in
  @jail-then-command) ((n == 0)) && operand=@jail || operand=@command ;;
  @name-then-command) ((n == 0)) && operand=@none || operand=@command ;;
  esac
  _jail_offer "$operand" "$cur"
}

complete -F _jail_complete -o default jail jls jexec
