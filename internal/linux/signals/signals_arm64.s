#include "textflag.h"

#define SYS_write        64
#define SYS_rt_sigreturn 139

// The kernel calls it as handler(signal, info, context), on the thread's signal
// stack, with every register saved.
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	SUB  $16, RSP
	MOVD R0, 0(RSP)
	MOVW ·pipe(SB), R0
	MOVD RSP, R1
	MOVD $1, R2
	MOVD $SYS_write, R8
	SVC
	ADD  $16, RSP
	RET

// Where the handler returns to (sigreturn(2)).
TEXT ·restorer(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $SYS_rt_sigreturn, R8
	SVC
	UNDEF

TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVD $·restorer(SB), R0
	MOVD R0, ret+0(FP)
	RET
