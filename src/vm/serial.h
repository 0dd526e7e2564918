/*
 * The 16550 at I/O port 0x3f8: early boot messages, panics, and a console of last resort.
 *
 *	struct vm_serial s = {0};
 *	vm_serial_init(&s, out_fd, irq_fd);
 *	vm_serial_io(&s, port - VM_SERIAL_PORT, &byte, write);	 from any processor's thread
 *	n = vm_serial_input(&s, bytes, n);			 from the loop
 *
 * The guest can neither block us nor fill our memory: what the reader of out_fd does not take
 * at once is dropped and counted.
 */
#ifndef JAIL_VM_SERIAL_H
#define JAIL_VM_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VM_SERIAL_FIFO = 64, VM_SERIAL_LINE = 256 };

struct vm_serial {
	pthread_mutex_t lock;
	int out_fd, irq_fd; /* borrowed; -1 for none */
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool fifo_on, thre_pending;
	uint8_t in[VM_SERIAL_FIFO];
	size_t n_in;
	char line[VM_SERIAL_LINE]; /* output gathers here up to a line */
	size_t n_line;
	uint64_t dropped;
};

void vm_serial_init(struct vm_serial *s, int out_fd, int irq_fd) __attribute__((nonnull));
/* One byte of register reg (0 to 7). */
void vm_serial_io(struct vm_serial *s, unsigned int reg, uint8_t *byte, bool write)
	__attribute__((nonnull));
/* Hands input to the guest; returns how many of the n bytes there was room for. */
size_t vm_serial_input(struct vm_serial *s, const uint8_t *p, size_t n) __attribute__((nonnull));
/* Writes an unfinished line out. */
void vm_serial_flush(struct vm_serial *s) __attribute__((nonnull));

#endif
