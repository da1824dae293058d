#include "textflag.h"

#define SYS_write        1
#define SYS_rt_sigreturn 15

// The kernel calls it as handler(signal, info, context), on the thread's signal
// stack, with every register saved.
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	SUBQ $16, SP
	MOVQ DI, 0(SP)
	MOVL ·pipe(SB), DI
	MOVQ SP, SI
	MOVL $1, DX
	MOVL $SYS_write, AX
	SYSCALL
	ADDQ $16, SP
	RET

// Where the handler returns to (sigreturn(2)).
TEXT ·restorer(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $SYS_rt_sigreturn, AX
	SYSCALL
	INT  $3

TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVQ $·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVQ $·restorer(SB), AX
	MOVQ AX, ret+0(FP)
	RET
