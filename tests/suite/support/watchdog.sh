# Removes the test cluster in directory $0 when standard input ends, which the test process holds open.
read -r _
elsewhere=$(readlink "$0/postgres")
socket_dir=$(sed -n 5p "$0/postgres/postmaster.pid")
tries=0
# The test process may have died while initdb or Postgres was starting: look until nothing is left.
while [ -e "$0" ] && [ $((tries += 1)) -le 300 ]; do
    pid=$(sed -n 1p "$0/postgres/postmaster.pid")
    if [ -n "$pid" ] && kill -0 "$pid"; then
        if [ "$tries" -lt 100 ]; then kill -INT "$pid"; else kill -QUIT "$pid"; fi
    else
        rm -rf "$0" ${elsewhere:+"${elsewhere%/postgres}"}
    fi
    sleep 0.1
done
rmdir "$socket_dir"
