"""Classic BPF interpreted, as the kernel runs it: enough for the programs made here."""

from sensor.capture.bpf import Instruction


def run(program: list[Instruction], packet: bytes, base: int = 0) -> int:
    """What the program returns for ``packet``; a read beyond its end returns 0.

    ``base`` is where loads count from (SKF_LL_OFF of a steering program).
    """
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code in (0x50, 0x48, 0x40):
            size = {0x50: 1, 0x48: 2, 0x40: 4}[code]
            place = (x + k - base) & 0xFFFFFFFF
            if place + size > len(packet):
                return 0
            a = int.from_bytes(packet[place : place + size], "big")
        elif code == 0x05:
            at += k
        elif code == 0x15:
            at += jt if a == k else jf
        elif code == 0x45:
            at += jt if a & k else jf
        elif code == 0x06:
            return k
        elif code == 0x16:
            return a
        else:
            if code == 0x01:
                x = k
            elif code == 0x61:
                x = memory[k]
            elif code == 0x60:
                a = memory[k]
            elif code == 0x02:
                memory[k] = a
            elif code == 0x07:
                x = a
            elif code == 0x87:
                a = x
            elif code == 0x04:
                a += k
            elif code == 0x0C:
                a += x
            elif code == 0x54:
                a &= k
            elif code == 0x64:
                a <<= k
            elif code == 0x74:
                a >>= k
            elif code == 0x24:
                a *= k
            elif code == 0xAC:
                a ^= x
            else:
                raise ValueError(f"operation {code:#x}")
            a &= 0xFFFFFFFF
