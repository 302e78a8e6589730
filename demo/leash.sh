#!/bin/sh
# Runs a command that ends, at the latest, when whoever holds the other end of our standard input does: a pipe
# closes even for a process that was killed with -9, which can clean up nothing itself.
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
# Not holding our output: whoever reads it to the end waits for the command alone.
{
  while read -r _ <&3; do :; done
  kill -KILL "$child"
} >/dev/null 2>&1 &
watcher=$!
wait "$child"
status=$?
kill -KILL "$watcher" 2>/dev/null
exit "$status"
