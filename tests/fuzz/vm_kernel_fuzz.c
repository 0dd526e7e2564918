/* Kernels and packages as strangers may make them. */
#include <stddef.h>
#include <stdint.h>

#include "vm/initramfs.h"
#include "vm/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct vm_kernel_files k = {0};
	struct vm_elf elf;
	struct err e;

	vm_elf_parse(p, n, &elf, &e);
	if (vm_kernel_files_read(p, n, &k, &e) >= 0)
		vm_kernel_files_release(&k);
	return 0;
}
