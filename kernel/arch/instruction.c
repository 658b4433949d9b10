/* Plain instructions: [REX] opcode ModRM [SIB] [displacement] [immediate], from a short list (SDM vol. 2, table A-2).
 */
#include "kernel/arch/instruction.h"

#define REX_B 1
#define REX_R 4
#define REX_W 8
#define RSP 4

enum form { NOT_PLAIN, MODRM, MODRM_IMM8, MODRM_IMM32, REGISTER_IMM32 };

static enum form form_of(uint8_t opcode)
{
    switch (opcode) {
    case 0x01: /* add, or, and, sub, xor */
    case 0x03:
    case 0x09:
    case 0x0b:
    case 0x21:
    case 0x23:
    case 0x29:
    case 0x2b:
    case 0x31:
    case 0x33:
    case 0x89: /* mov, lea */
    case 0x8b:
    case 0x8d:
        return MODRM;
    case 0x83: /* arithmetic, shifts */
    case 0xc1:
        return MODRM_IMM8;
    case 0x81:
    case 0xc7: /* mov */
        return MODRM_IMM32;
    default:
        return opcode >= 0xb8 && opcode <= 0xbf ? REGISTER_IMM32 : NOT_PLAIN;
    }
}

/* Bytes of ModRM, SIB and displacement; 0 if RSP would change or there is no such instruction. */
static size_t modrm_size(uint8_t opcode, const uint8_t *p, size_t max, uint8_t rex, bool *ret_relative)
{
    uint8_t mod = p[0] >> 6, reg = p[0] >> 3 & 7, rm = p[0] & 7;
    if ((reg == RSP && !(rex & REX_R)) || (mod == 3 && rm == RSP && !(rex & REX_B)) || (opcode == 0x8d && mod == 3) ||
        (opcode == 0xc7 && reg != 0))
        return 0;
    if (mod == 3)
        return 1;
    size_t size = mod == 1 ? 2 : mod == 2 ? 5 : 1;
    if (rm == 4) {
        if (max < 2)
            return 0;
        size += 1 + (mod == 0 && (p[1] & 7) == 5 ? 4 : 0);
    } else if (mod == 0 && rm == 5) {
        *ret_relative = true;
        size += 4;
    }
    return size;
}

bool plain_instruction(const uint8_t *bytes, size_t max, struct plain *ret_plain)
{
    size_t at = 0, relative = 0;
    uint8_t rex = 0;

    if (max > 1 && (bytes[0] & 0xf0) == 0x40)
        rex = bytes[at++];
    if (at + 2 > max)
        return false;
    uint8_t opcode = bytes[at++];
    enum form form = form_of(opcode);
    if (form == NOT_PLAIN)
        return false;
    if (form == REGISTER_IMM32) {
        if (rex & REX_W || (opcode == 0xb8 + RSP && !(rex & REX_B)))
            return false;
        at += 4;
    } else {
        bool is_relative = false;
        size_t size = modrm_size(opcode, bytes + at, max - at, rex, &is_relative);
        if (size == 0)
            return false;
        relative = is_relative ? at + 1 : 0;
        at += size + (form == MODRM_IMM8 ? 1 : form == MODRM_IMM32 ? 4 : 0);
    }
    if (at > max)
        return false;
    *ret_plain = (struct plain){at, relative};
    return true;
}
