#compdef jail jls jexec
# zsh completion for jail, made by generate.sh from the option tables: not to be edited.

_jail_names() {
  local -a names
  names=(${(f)"$(jail ls -q 2>/dev/null)"})
  compadd -a names
}

_jail_signals() { compadd HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH }

_jail_of() {
  case $1 in
  run)
    _arguments -s \
      '(-n --name)'{-n+,--name=}'[name it (run-JID)]:NAME: ' \
      '(-d --detach)'{-d,--detach}'[print its name and return at once]' \
      '(-t --tty)'{-t,--tty}'[give it a terminal (when there is one here); --no-tty\: pipes]' \
      '--detach-keys=[keys that leave it running (ctrl-p,ctrl-q); '\'''\'' for none]:KEYS: ' \
      '--trace=[write the stages of the start, with times, to FILE]:FILE:_files' \
      '--host[the host'\''s own tree, read-only, home hidden, changes in a private layer (the default)]' \
      '--work=[with --host\: show the folder DIR, to read and write (the current one); or none]:DIR:_files' \
      '(-r --root)'{-r+,--root=}'[a directory as the root; without \:rw changes go to a private layer]:DIR\[\:rw\]:_files' \
      '(-v --volume)'{-v+,--volume=}'[show SRC at DST; options ro,noexec,dev,suid,nomap]:SRC\:DST\[\:OPTIONS\]:_files' \
      '--tmpfs=[an empty file system in memory; options size=SIZE,mode=MODE,exec]:DST\[\:OPTIONS\]:_files' \
      '--mask=[make PATH inside empty]:PATH:_files' \
      '--readonly=[make PATH inside read-only]:PATH:_files' \
      '--device=[give a device of the host]:DEVICE\[\:DST\[\:rwm\]\]:_files' \
      '--sys=[what /sys shows\: none or ro]:WHAT:(none ro)' \
      '(-e --env)'{-e+,--env=}'[set a variable; NAME alone takes the caller'\''s value]:NAME\[=VALUE\]: ' \
      '--cwd=[folder to start in]:DIR:_files' \
      '(-u --user)'{-u+,--user=}'[user of the jail, by name or number (root)]:USER\[\:GROUP\]: ' \
      '--hostname=[host name (the jail'\''s name)]:NAME: ' \
      '--init[process 1 is a small reaper (yes); --no-init\: the program itself]' \
      '--persist[live on without a program]' \
      '--restart=[no, on-failure\[\:N\] or always]:POLICY: ' \
      '--log=[what is kept of its output (10M\:2)]:SIZE\[\:FILES\]|none: ' \
      '--stop-signal=[signal that asks it to end (TERM)]:signal:_jail_signals' \
      '--stop-timeout=[time it has for that, then it is killed (10s)]:DURATION: ' \
      '--label=[a note of yours]:KEY=VALUE: ' \
      '(-m --memory)'{-m+,--memory=}'[memory of all processes together, as 512M]:SIZE: ' \
      '--swap=[swap beyond memory]:SIZE: ' \
      '(-p --pids)'{-p+,--pids=}'[processes and threads]:N: ' \
      '(-c --cpu)'{-c+,--cpu=}'[processors'\'' worth of time, as 1.5]:N: ' \
      '--cpu-weight=[share when the processors are busy, 1 to 10000 (100)]:N: ' \
      '--cpuset=[processors it may use, as 0-3,7]:LIST: ' \
      '--mems=[memory nodes it may use]:LIST: ' \
      '--io-weight=[share when disks are busy, 1 to 10000 (100)]:N: ' \
      '--read-bps=[bytes read in a second, as /dev/sda\:10M]:DEVICE\:RATE:_files' \
      '--write-bps=[bytes written in a second]:DEVICE\:RATE:_files' \
      '--read-iops=[reads in a second]:DEVICE\:RATE:_files' \
      '--write-iops=[writes in a second]:DEVICE\:RATE:_files' \
      '--rlimit=[a limit of each process, as nofile=1024\:4096]:NAME=SOFT\[\:HARD\]: ' \
      '--time=[running time, then it is stopped]:DURATION: ' \
      '--net=[none\: loopback only; host\: the host'\''s own]:MODE:(none host)' \
      '--cap-add=[give a capability]:CAP: ' \
      '--cap-drop=[take a capability, or all]:CAP: ' \
      '--seccomp=[default, unconfined, or a profile'\''s file]:PROFILE:_files' \
      '--allow=[widen by name; jail-security(7) lists the words]:WORD:(debug personality userns mount io_uring bpf perf keyctl tiocsti sockets aio mqueue numa userfaultfd fanotify handles hostname time vmsplice ldt rawio modules syslog swap quota reboot compat)' \
      '--isolation=[jail\: the host'\''s kernel; vm\: its own; auto]:TIER:(jail auto vm)' \
      '*::command: _normal'
    ;;
  exec)
    _arguments -s \
      '(-t --tty)'{-t,--tty}'[give it a terminal (when there is one here); --no-tty\: pipes]' \
      '(-e --env)'{-e+,--env=}'[set a variable; NAME alone takes the caller'\''s value]:NAME\[=VALUE\]: ' \
      '(-u --user)'{-u+,--user=}'[user of the jail, by name or number (the jail'\''s)]:USER\[\:GROUP\]: ' \
      '--cwd=[folder to start in (the jail'\''s)]:DIR:_files' \
      '--detach-keys=[keys that leave it running (ctrl-p,ctrl-q); '\'''\'' for none]:KEYS: ' \
      '1:jail:_jail_names' '*::command: _normal'
    ;;
  console)
    _arguments -s \
      '--detach-keys=[keys that leave it running (ctrl-p,ctrl-q); '\'''\'' for none]:KEYS: ' \
      '*:jail:_jail_names'
    ;;
  cp)
    _arguments -s \
      '(-a --owners)'{-a,--owners}'[out of a jail, as root\: keep owners as the jail sees them]' \
      '(-t --timeout)'{-t+,--timeout=}'[give up when nothing moves for that long (30s)]:DURATION: ' \
      '*:file:_files'
    ;;
  create)
    _arguments -s \
      '(-t --tty)'{-t,--tty}'[its program has a terminal; see jail console]' \
      '--host[the host'\''s own tree, read-only, home hidden, changes in a private layer (the default)]' \
      '--work=[with --host\: show the folder DIR, to read and write]:DIR:_files' \
      '(-r --root)'{-r+,--root=}'[a directory as the root; without \:rw changes go to a private layer]:DIR\[\:rw\]:_files' \
      '(-v --volume)'{-v+,--volume=}'[show SRC at DST; options ro,noexec,dev,suid,nomap]:SRC\:DST\[\:OPTIONS\]:_files' \
      '--tmpfs=[an empty file system in memory; options size=SIZE,mode=MODE,exec]:DST\[\:OPTIONS\]:_files' \
      '--mask=[make PATH inside empty]:PATH:_files' \
      '--readonly=[make PATH inside read-only]:PATH:_files' \
      '--device=[give a device of the host]:DEVICE\[\:DST\[\:rwm\]\]:_files' \
      '--sys=[what /sys shows\: none or ro]:WHAT:(none ro)' \
      '(-e --env)'{-e+,--env=}'[set a variable; NAME alone takes the caller'\''s value]:NAME\[=VALUE\]: ' \
      '--cwd=[folder to start in]:DIR:_files' \
      '(-u --user)'{-u+,--user=}'[user of the jail, by name or number (root)]:USER\[\:GROUP\]: ' \
      '--hostname=[host name (the jail'\''s name)]:NAME: ' \
      '--init[process 1 is a small reaper (yes); --no-init\: the program itself]' \
      '--persist[live on without a program]' \
      '--restart=[no, on-failure\[\:N\] or always]:POLICY: ' \
      '--log=[what is kept of its output (10M\:2)]:SIZE\[\:FILES\]|none: ' \
      '--stop-signal=[signal that asks it to end (TERM)]:signal:_jail_signals' \
      '--stop-timeout=[time it has for that, then it is killed (10s)]:DURATION: ' \
      '--label=[a note of yours]:KEY=VALUE: ' \
      '(-m --memory)'{-m+,--memory=}'[memory of all processes together, as 512M]:SIZE: ' \
      '--swap=[swap beyond memory]:SIZE: ' \
      '(-p --pids)'{-p+,--pids=}'[processes and threads]:N: ' \
      '(-c --cpu)'{-c+,--cpu=}'[processors'\'' worth of time, as 1.5]:N: ' \
      '--cpu-weight=[share when the processors are busy, 1 to 10000 (100)]:N: ' \
      '--cpuset=[processors it may use, as 0-3,7]:LIST: ' \
      '--mems=[memory nodes it may use]:LIST: ' \
      '--io-weight=[share when disks are busy, 1 to 10000 (100)]:N: ' \
      '--read-bps=[bytes read in a second, as /dev/sda\:10M]:DEVICE\:RATE:_files' \
      '--write-bps=[bytes written in a second]:DEVICE\:RATE:_files' \
      '--read-iops=[reads in a second]:DEVICE\:RATE:_files' \
      '--write-iops=[writes in a second]:DEVICE\:RATE:_files' \
      '--rlimit=[a limit of each process, as nofile=1024\:4096]:NAME=SOFT\[\:HARD\]: ' \
      '--time=[running time, then it is stopped]:DURATION: ' \
      '--net=[none\: loopback only; host\: the host'\''s own]:MODE:(none host)' \
      '--cap-add=[give a capability]:CAP: ' \
      '--cap-drop=[take a capability, or all]:CAP: ' \
      '--seccomp=[default, unconfined, or a profile'\''s file]:PROFILE:_files' \
      '--allow=[widen by name; jail-security(7) lists the words]:WORD:(debug personality userns mount io_uring bpf perf keyctl tiocsti sockets aio mqueue numa userfaultfd fanotify handles hostname time vmsplice ldt rawio modules syslog swap quota reboot compat)' \
      '--isolation=[jail\: the host'\''s kernel; vm\: its own; auto]:TIER:(jail auto vm)' \
      '1:name: ' '*::command: _normal'
    ;;
  start)
    _arguments -s \
      '(-a --attach)'{-a,--attach}'[hold its program from here; its output is not logged]' \
      '--detach-keys=[keys that leave it running (ctrl-p,ctrl-q); '\'''\'' for none]:KEYS: ' \
      '--trace=[write the stages of the start, with times, to FILE]:FILE:_files' \
      '*:jail:_jail_names'
    ;;
  stop)
    _arguments -s \
      '(-s --signal)'{-s+,--signal=}'[signal that asks it to end (the jail'\''s)]:signal:_jail_signals' \
      '(-t --timeout)'{-t+,--timeout=}'[time it has for that, then it is killed (the jail'\''s; 0\: killed at once)]:DURATION: ' \
      '*:jail:_jail_names'
    ;;
  kill)
    _arguments -s \
      '(-s --signal)'{-s+,--signal=}'[signal by name or number (KILL, which goes to everything inside)]:signal:_jail_signals' \
      '*:jail:_jail_names'
    ;;
  restart)
    _arguments -s \
      '(-s --signal)'{-s+,--signal=}'[signal that asks it to end (the jail'\''s)]:signal:_jail_signals' \
      '(-t --timeout)'{-t+,--timeout=}'[time it has for that, then it is killed (the jail'\''s; 0\: killed at once)]:DURATION: ' \
      '*:jail:_jail_names'
    ;;
  pause)
    _arguments -s \
      '*:jail:_jail_names'
    ;;
  resume)
    _arguments -s \
      '*:jail:_jail_names'
    ;;
  destroy)
    _arguments -s \
      '(-f --force)'{-f,--force}'[kill it first when it runs]' \
      '*:jail:_jail_names'
    ;;
  wait)
    _arguments -s \
      '(-t --timeout)'{-t+,--timeout=}'[give up after that long, with status 125 (never)]:DURATION: ' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  ls)
    _arguments -s \
      '(-r --running)'{-r,--running}'[only those that run]' \
      '(-q --quiet)'{-q,--quiet}'[names only, one on a line]' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  ps)
    _arguments -s \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  stats)
    _arguments -s \
      '(-w --watch)'{-w+,--watch=}'[read again after every DURATION, until interrupted]:DURATION: ' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  logs)
    _arguments -s \
      '(-f --follow)'{-f,--follow}'[go on with what comes, until the jail has stopped]' \
      '(-n --tail)'{-n+,--tail=}'[the last N lines only]:N: ' \
      '(-s --since)'{-s+,--since=}'[only what is not older, as 10m]:DURATION: ' \
      '(-t --times)'{-t,--times}'[the time before each line]' \
      '--raw[the bytes as they were written, escapes included]' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  inspect)
    _arguments -s \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  events)
    _arguments -s \
      '(-f --follow)'{-f,--follow}'[go on with what happens, until interrupted]' \
      '--new[with --follow\: leave out what has happened]' \
      '(-s --since)'{-s+,--since=}'[only what is not older, as 10m]:DURATION: ' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*:jail:_jail_names'
    ;;
  set)
    _arguments -s \
      '(-m --memory)'{-m+,--memory=}'[memory of all processes together, as 512M]:SIZE: ' \
      '--swap=[swap beyond memory]:SIZE: ' \
      '(-p --pids)'{-p+,--pids=}'[processes and threads]:N: ' \
      '(-c --cpu)'{-c+,--cpu=}'[processors'\'' worth of time, as 1.5]:N: ' \
      '--cpu-weight=[share when the processors are busy, 1 to 10000 (100)]:N: ' \
      '--cpuset=[processors it may use, as 0-3,7]:LIST: ' \
      '--mems=[memory nodes it may use]:LIST: ' \
      '--io-weight=[share when disks are busy, 1 to 10000 (100)]:N: ' \
      '--read-bps=[bytes read in a second, as /dev/sda\:10M]:DEVICE\:RATE:_files' \
      '--write-bps=[bytes written in a second]:DEVICE\:RATE:_files' \
      '--read-iops=[reads in a second]:DEVICE\:RATE:_files' \
      '--write-iops=[writes in a second]:DEVICE\:RATE:_files' \
      '--rlimit=[a limit of each process, as nofile=1024\:4096]:NAME=SOFT\[\:HARD\]: ' \
      '--time=[running time, then it is stopped]:DURATION: ' \
      '*:jail:_jail_names'
    ;;
  rename)
    _arguments -s \
      '*:jail:_jail_names'
    ;;
  image)
    _arguments -s \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '(-q --quiet)'{-q,--quiet}'[only names and errors]' \
      '*: :'
    ;;
  doctor)
    _arguments -s \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*: :'
    ;;
  version)
    _arguments -s \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*: :'
    ;;
  jls)
    _arguments -s \
      '(-j --jail)'{-j+,--jail=}'[only this one]:jail:_jail_names' \
      '(-N --names)'{-N,--names}'[names instead of jids]' \
      '(-q --quiet)'{-q,--quiet}'[only the first column]' \
      '--format=['\''table'\'' for people, '\''json'\'' for programs]:FORMAT:(table json)' \
      '*: :'
    ;;
  jexec)
    _arguments -s \
      '(-l --login)'{-l,--login}'[a clean environment, which is the default here]' \
      '(-d --directory)'{-d+,--directory=}'[folder to start in]:DIR:_files' \
      '(-u --host-user)'{-u+,--host-user=}'[user as the host'\''s passwd numbers it]:USER: ' \
      '(-U --jail-user)'{-U+,--jail-user=}'[user as the jail'\''s passwd numbers it]:USER: ' \
      '1:jail:_jail_names' '*::command: _normal'
    ;;
  esac
}

_jail() {
  local -a list
  if [[ $service != jail ]]; then
    _jail_of $service
    return
  fi
  list=(
    'run:create, start, attach and destroy in one'
    'exec:run one more program in a running jail'
    'console:attach to a jail'\''s terminal'
    'cp:copy files into or out of a jail'
    'create:define a jail under a name'
    'start:start jails'
    'stop:stop jails\: ask, wait, then kill'
    'kill:send a signal to jails'
    'restart:stop jails and start them again'
    'pause:freeze everything in jails'
    'resume:let paused jails go on'
    'destroy:remove jails and their writable layers'
    'wait:wait until a jail has ended; its exit status becomes one'\''s own'
    'ls:list jails'
    'ps:list the processes in jails'
    'stats:show what jails use, and their limits'
    'logs:show what a jail'\''s program wrote'
    'inspect:show all about a jail\: what it may, its limits, its state'
    'events:show what happened to jails'
    'set:change the limits of a jail, also while it runs'
    'rename:give a stopped jail another name'
    'image:pull, push, import, make and look after images'
    'doctor:tell what this host offers, by trying, and what to do'
    'version:tell the version'
  )
  if (( CURRENT == 2 )); then
    _describe -t commands command list
    return
  fi
  shift words
  (( CURRENT-- ))
  _jail_of $words[1]
}

_jail "$@"
