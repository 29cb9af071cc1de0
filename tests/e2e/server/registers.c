/*
 * Preloaded into User Mode Linux where the processor's register state is larger than its kernel was built for (AMX).
 *
 * That kernel writes the state back (PTRACE_SETREGSET, NT_X86_XSTATE) in a buffer of fixed size, and the machine's kernel
 * takes only all of it: EFAULT, and User Mode Linux panics in put_fp_registers. Here the buffer is made as large as the
 * machine wants it, what is added being in its initial state.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* In the header of the state: which components are in it (Intel SDM 1, 13.4.2). */
#define COMPONENTS_AT 512
/* Up to PKRU, bit 9: those that User Mode Linux has room for. */
#define KNOWN 0x3ffULL

typedef long (*ptrace_function)(int, long, void *, void *);

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_function next;
	static uint8_t whole[64 << 10] __attribute__((aligned(64)));
	va_list arguments;
	long pid;
	void *address, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, long);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");

	struct iovec *given = data;
	if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE || given->iov_len < COMPONENTS_AT + 8)
		return next(request, pid, address, data);

	struct iovec all = { whole, sizeof(whole) };
	if (next(PTRACE_GETREGSET, pid, address, &all) < 0 || all.iov_len <= given->iov_len)
		return next(request, pid, address, data);
	memset(whole, 0, all.iov_len);
	memcpy(whole, given->iov_base, given->iov_len);
	*(uint64_t *)(whole + COMPONENTS_AT) &= KNOWN;
	return next(request, pid, address, &all);
}
