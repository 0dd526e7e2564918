#!/bin/sh
# Holds every #include "room/x.h" in src/ against src/rooms.txt.
set -eu
cd "$(dirname "$0")/../.."
bad=0
for room in $(sed -n 's/^\([a-z]*\):.*/\1/p' src/rooms.txt); do
  may="$room $(sed -n "s/^$room://p" src/rooms.txt)"
  for inc in $(grep -ho '^#include "[a-z]*/' src/"$room"/*.[ch] 2>/dev/null | sed 's/.*"\([a-z]*\)\//\1/' | sort -u); do
    case " $may " in
    *" $inc "*) ;;
    *)
      echo "room '$room' may not include '$inc': $(grep -l "^#include \"$inc/" src/"$room"/*.[ch] | tr '\n' ' ')"
      bad=1
      ;;
    esac
  done
done
exit $bad
