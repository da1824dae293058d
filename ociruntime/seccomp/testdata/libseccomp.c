// Compiles a seccomp profile with libseccomp as runc does, for a comparison.
//
// Reads words: "default ACTION", "only NAME" for another architecture in place of
// the native one, "arch NAME", "optimize LEVEL", "rule ACTION NAME COUNT (INDEX OP A B)*",
// actions as returned by a filter. Writes the filter; exits with 17 if rules of
// different actions have the same conditions, which the library refuses. With the argument "names" it reads names instead and
// writes the numbers that each has in x86_64, x32, x86, aarch64 and arm.
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, int rc) {
	fprintf(stderr, "%s: %s\n", what, strerror(-rc));
	exit(1);
}

static int names(void) {
	static const uint32_t archs[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_X86, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
	char name[128];
	while (scanf("%127s", name) == 1) {
		printf("%s", name);
		for (int i = 0; i < 5; i++)
			printf(" %d", seccomp_syscall_resolve_name_arch(archs[i], name));
		printf("\n");
	}
	return 0;
}

int main(int argc, char **argv) {
	scmp_filter_ctx ctx = NULL;
	char word[128];
	int rc;
	if (argc > 1)
		return names();
	while (scanf("%127s", word) == 1) {
		if (!strcmp(word, "default")) {
			unsigned act;
			if (scanf("%u", &act) != 1 || !(ctx = seccomp_init(act)))
				fail("default", -22);
		} else if (!strcmp(word, "optimize")) {
			unsigned level;
			if (scanf("%u", &level) != 1 || (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, level)))
				fail("optimize", rc);
		} else if (!strcmp(word, "only")) {
			if (scanf("%127s", word) != 1)
				fail("only", -22);
			if ((rc = seccomp_arch_add(ctx, seccomp_arch_resolve_name(word))) ||
			    (rc = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE)))
				fail(word, rc);
		} else if (!strcmp(word, "arch")) {
			if (scanf("%127s", word) != 1)
				fail("arch", -22);
			rc = seccomp_arch_add(ctx, seccomp_arch_resolve_name(word));
			if (rc && rc != -17)
				fail(word, rc);
		} else if (!strcmp(word, "rule")) {
			unsigned act, n;
			struct scmp_arg_cmp args[6];
			if (scanf("%u %127s %u", &act, word, &n) != 3 || n > 6)
				fail("rule", -22);
			for (unsigned i = 0; i < n; i++) {
				unsigned index, op;
				unsigned long long a, b;
				if (scanf("%u %u %llu %llu", &index, &op, &a, &b) != 4)
					fail("argument", -22);
				args[i] = (struct scmp_arg_cmp){index, op, a, b};
			}
			int nr = seccomp_syscall_resolve_name(word);
			if (nr == __NR_SCMP_ERROR)
				continue;
			rc = seccomp_rule_add_array(ctx, act, nr, n, args);
			if (rc == -17)
				exit(17);
			if (rc)
				fail(word, rc);
		}
	}
	rc = seccomp_export_bpf(ctx, 1);
	if (rc)
		fail("export", rc);
	return 0;
}
