/* How the monitor's process says why its machine is no more. */
#ifndef JAIL_VM_EXIT_H
#define JAIL_VM_EXIT_H

enum vm_exit {
	VM_EXIT_POWEROFF = 0,
	VM_EXIT_RESET = 3,
	VM_EXIT_FAULT = 4,
	VM_EXIT_KVM = 5,
	VM_EXIT_STOPPED = 6,
};

#endif
