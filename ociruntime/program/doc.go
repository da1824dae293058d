// Package program turns a list of system calls into a sealed executable, starts
// it and reads its verdict.
//
// A program is a static ELF of a few kB in a memfd: an interpreter of about 250
// bytes, hand-written per architecture, and the steps as data. Each step is one
// system call with constant arguments or results of earlier steps, plus two
// pseudo steps (a conditional jump, a number printed in decimal). A step that
// fails with an errno it does not tolerate ends the program, and its address
// and errno are written to the verdict pipe.
//
//	file page 0    ELF header, interpreter        r-x  at CodeBase
//	               slots and buffers              rw-  at DataBase
//	               strings, tables, then steps    r--  at TextBase
//
// No page is both writable and executable; the memfd is sealed before it runs.
//
// Level: R.
// Owns: the step encoding, the interpreter, the ELF layout, the verdict format.
// May import: internal/linux.
// Must not know: containers, the OCI spec.
package program
