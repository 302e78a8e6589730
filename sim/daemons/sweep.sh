#!/bin/sh
# Ends everything of one run of real daemons and removes it: the processes in its network namespaces, the namespaces
# with all their links, what is mounted below its directory, and the directory.
#   sweep.sh PREFIX DIRECTORY                 now
#   sweep.sh PREFIX DIRECTORY when-closed     when whoever holds the other end of standard input is gone
# A second Ctrl-C reaches the whole group: what is begun here is ended.
trap '' INT TERM HUP
prefix=$1
directory=$2
if [ "$3" = when-closed ]; then
  while read -r word; do [ "$word" = done ] && exit 0; done
fi
names() {
  ip netns list | while read -r name _; do
    case $name in "$prefix"*) echo "$name" ;; esac
  done
}
# Twice: what was killed may just have started something.
for _ in 1 2; do
  for name in $(names); do
    for pid in $(ip netns pids "$name"); do kill -9 "$pid" 2>/dev/null; done
  done
done
for name in $(names); do ip netns del "$name"; done
while read -r _ path _; do
  case $path in "$directory"/*) echo "$path" ;; esac
done </proc/mounts | sort -r | while read -r path; do umount -l "$path"; done
rm -rf "$directory"
