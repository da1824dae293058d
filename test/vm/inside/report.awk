# Turns what a test binary prints with -test.v into what go test prints: one line
# if all went well; otherwise the failed tests with their output, and FAIL. A test
# that is skipped has failed, because the machine has all that they need, unless its
# kernel is too old for it ("before Linux N").
/^=== (RUN|NAME|CONT|PAUSE) / { name_of = $3; next }
/^ *--- (PASS|FAIL|SKIP): / {
	name_of = $3
	if ($2 == "PASS:" && $0 !~ /^ /) passed++
	if ($2 == "PASS:" || $2 == "SKIP:" && lines[$3] ~ /before Linux [0-9]/) next
	bad++
	order[++shows] = $3
	head[$3] = $0
	next
}
/^(PASS|FAIL)$/ { finished = 1; next }
{ lines[name_of] = lines[name_of] $0 "\n" }
END {
	time = sprintf("%d.%ds", seconds / 10, seconds % 10)
	if (code == 0 && !bad) {
		printf "ok  \tvm: %s\t%s, %d tests\n", name, time, passed
		exit 0
	}
	for (i = 1; i <= shows; i++) printf "%s\n%s", head[order[i]], lines[order[i]]
	# It ended in the middle of a test: a panic or a timeout.
	if (!finished) printf "--- ended in %s:\n%s", name_of, substr(lines[name_of], 1, 20000)
	printf "FAIL\tvm: %s\t%s, exit code %d\n", name, time, code
	exit 1
}
