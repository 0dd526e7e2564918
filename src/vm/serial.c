#include "vm/serial.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };
enum { IER_RX = 1, IER_THRE = 2, IER_MASK = 0x0f };
enum { IIR_NONE = 1, IIR_THRE = 2, IIR_RX = 4, IIR_FIFO = 0xc0 };
enum { LCR_DLAB = 0x80 };
enum { MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_MASK = 0x1f };
enum { LSR_DATA = 1, LSR_THRE = 0x20, LSR_IDLE = 0x40 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_DCD = 0x80 };

void vm_serial_init(struct vm_serial *s, int out_fd, int irq_fd)
{
	*s = (struct vm_serial){
		.lock = PTHREAD_MUTEX_INITIALIZER, .out_fd = out_fd, .irq_fd = irq_fd};
}

static uint8_t cause(const struct vm_serial *s)
{
	if ((s->ier & IER_RX) && s->n_in)
		return IIR_RX;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	return IIR_NONE;
}

/* The line is edge-triggered: every new cause is one pulse. */
static void interrupt(struct vm_serial *s)
{
	uint64_t one = 1;

	if (cause(s) == IIR_NONE || s->irq_fd < 0)
		return;
	if (write(s->irq_fd, &one, sizeof(one)) < 0)
		return; /* an eventfd that is full has an interrupt pending already */
}

/*
 * A pipe that polls as writable takes PIPE_BUF bytes without blocking, which is why no flag of
 * the descriptor (it may be shared with somebody's terminal) needs to be changed.
 */
static void flush(struct vm_serial *s)
{
	struct pollfd p = {.fd = s->out_fd, .events = POLLOUT};
	ssize_t r = -1;

	if (!s->n_line)
		return;
	if (s->out_fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
		r = write(s->out_fd, s->line, s->n_line);
	if (r < (ssize_t)s->n_line)
		s->dropped += s->n_line - (size_t)MAX(r, 0);
	s->n_line = 0;
}

void vm_serial_flush(struct vm_serial *s)
{
	pthread_mutex_lock(&s->lock);
	flush(s);
	pthread_mutex_unlock(&s->lock);
}

static void transmit(struct vm_serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP) {
		if (s->n_in < VM_SERIAL_FIFO)
			s->in[s->n_in++] = byte;
		return;
	}
	s->line[s->n_line++] = (char)byte;
	if (byte == '\n' || s->n_line == VM_SERIAL_LINE)
		flush(s);
}

static uint8_t receive(struct vm_serial *s)
{
	uint8_t byte = s->in[0];

	if (!s->n_in)
		return 0;
	memmove(s->in, s->in + 1, --s->n_in);
	return byte;
}

/* In loopback, modem control comes back as modem status: drivers probe for that. */
static uint8_t modem_status(const struct vm_serial *s)
{
	uint8_t m = s->mcr;

	if (!(m & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((m & 2) << 3 | (m & 1) << 5 | (m & 4) << 4 | (m & 8) << 4);
}

static void write_register(struct vm_serial *s, unsigned int reg, uint8_t v)
{
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB) {
			s->dll = v;
			return;
		}
		transmit(s, v);
		s->thre_pending = true; /* the byte has left already */
		interrupt(s);
		return;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->dlm = v;
			return;
		}
		if (!(s->ier & IER_THRE) && (v & IER_THRE))
			s->thre_pending = true;
		s->ier = v & IER_MASK;
		interrupt(s);
		return;
	case REG_IIR: /* FIFO control */
		s->fifo_on = v & 1;
		if (v & 2)
			s->n_in = 0;
		return;
	case REG_LCR:
		s->lcr = v;
		return;
	case REG_MCR:
		s->mcr = v & MCR_MASK;
		return;
	case REG_SCR:
		s->scr = v;
		return;
	}
}

static uint8_t read_register(struct vm_serial *s, unsigned int reg)
{
	uint8_t v;

	switch (reg) {
	case REG_DATA:
		v = s->lcr & LCR_DLAB ? s->dll : receive(s);
		interrupt(s);
		return v;
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR:
		v = cause(s);
		if (v == IIR_THRE)
			s->thre_pending = false;
		return v | (s->fifo_on ? IIR_FIFO : 0);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_THRE | LSR_IDLE | (s->n_in ? LSR_DATA : 0);
	case REG_MSR:
		return modem_status(s);
	case REG_SCR:
		return s->scr;
	}
	return 0xff;
}

void vm_serial_io(struct vm_serial *s, unsigned int reg, uint8_t *byte, bool write)
{
	pthread_mutex_lock(&s->lock);
	if (write)
		write_register(s, reg, *byte);
	else
		*byte = read_register(s, reg);
	pthread_mutex_unlock(&s->lock);
}

size_t vm_serial_input(struct vm_serial *s, const uint8_t *p, size_t n)
{
	pthread_mutex_lock(&s->lock);
	n = MIN(n, VM_SERIAL_FIFO - s->n_in);
	memcpy(s->in + s->n_in, p, n);
	s->n_in += n;
	if (n)
		interrupt(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}
