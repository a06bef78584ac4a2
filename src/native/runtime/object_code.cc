// A linker for what our compiler emits: position-independent code in the small model, which calls
// each other's functions, the runtime's, and reads constants. Sections lie one after the other,
// then a table of addresses, and a jump through it for each function that is too far away.
//
// LLVM's own linker takes 0.4 ms for each of these, 30 ms to load, and keeps some memory of each.
#include "runtime/object_code.h"

#if defined(__linux__) && defined(__x86_64__)
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>
#endif

namespace covector {

uintptr_t ObjectCode::address(const std::string& name) const {
    const auto found = functions_.find(name);
    return found == functions_.end() ? 0 : found->second;
}

#if defined(__linux__) && defined(__x86_64__)

namespace {

constexpr size_t kSlotBytes = 16;  // an address, and a jump to it
constexpr size_t kMostAligned = 4096;

// What is not as it has to be is not taken: LLVM may know what to do with it, or say what is wrong.
struct NotTaken {};

void require(bool good) {
    if (!good) throw NotTaken();
}

size_t align(size_t at, size_t to) { return (at + to - 1) / to * to; }

class Object {
public:
    Object(const uint8_t* data, size_t size) : data_(data), size_(size) {
        const auto& head = *at<Elf64_Ehdr>(0);
        require(std::memcmp(head.e_ident, ELFMAG, SELFMAG) == 0);
        require(head.e_ident[EI_CLASS] == ELFCLASS64 && head.e_machine == EM_X86_64);
        require(head.e_type == ET_REL && head.e_shentsize == sizeof(Elf64_Shdr));
        sections_ = {at<Elf64_Shdr>(head.e_shoff, head.e_shnum), head.e_shnum};
        for (const Elf64_Shdr& section : sections_) {
            if (section.sh_type != SHT_NOBITS) (void)at<uint8_t>(section.sh_offset, section.sh_size);
            if (section.sh_type != SHT_SYMTAB) continue;
            symbols_ = all<Elf64_Sym>(section);
            require(section.sh_link < sections_.size());
            names_ = &sections_[section.sh_link];
        }
        require(names_ != nullptr && names_->sh_size > 0);
        require(data_[names_->sh_offset + names_->sh_size - 1] == 0);
    }

    template <typename T>
    struct Span {
        const T* items = nullptr;
        size_t count = 0;

        const T* begin() const { return items; }
        const T* end() const { return items + count; }
        size_t size() const { return count; }
        const T& operator[](size_t i) const { return items[i]; }
    };

    template <typename T>
    Span<T> all(const Elf64_Shdr& section) const {
        require(section.sh_entsize == sizeof(T));
        const size_t count = section.sh_size / sizeof(T);
        return {at<T>(section.sh_offset, count), count};
    }

    const char* name(const Elf64_Sym& symbol) const {
        require(symbol.st_name < names_->sh_size);
        return reinterpret_cast<const char*>(data_ + names_->sh_offset + symbol.st_name);
    }

    const Span<Elf64_Shdr>& sections() const { return sections_; }
    const Span<Elf64_Sym>& symbols() const { return symbols_; }
    const uint8_t* data() const { return data_; }

private:
    template <typename T>
    const T* at(size_t offset, size_t count = 1) const {
        require(offset <= size_ && count <= (size_ - offset) / sizeof(T));
        require((reinterpret_cast<uintptr_t>(data_) + offset) % alignof(T) == 0);
        return reinterpret_cast<const T*>(data_ + offset);
    }

    const uint8_t* data_;
    size_t size_;
    Span<Elf64_Shdr> sections_;
    Span<Elf64_Sym> symbols_;
    const Elf64_Shdr* names_ = nullptr;
};

// Where everything goes: sections by number, then a slot for each symbol that some place refers to.
struct Layout {
    std::vector<size_t> sections;
    size_t slots = 0, bytes = 0;

    explicit Layout(const Object& object) {
        for (const Elf64_Shdr& section : object.sections()) {
            sections.push_back(kNone);
            if ((section.sh_flags & SHF_ALLOC) == 0) continue;
            require(section.sh_type == SHT_PROGBITS);
            require((section.sh_flags & (SHF_WRITE | SHF_TLS)) == 0);
            require(section.sh_addralign <= kMostAligned);
            bytes = align(bytes, std::max<size_t>(section.sh_addralign, 1));
            sections.back() = bytes;
            bytes += section.sh_size;
        }
        slots = align(bytes, kSlotBytes);
        bytes = slots + object.symbols().size() * kSlotBytes;
    }

    static constexpr size_t kNone = std::numeric_limits<size_t>::max();
};

// Puts the sections into memory, and what they refer to into their places.
class Placing {
public:
    Placing(const Object& object, const Layout& layout, uint8_t* memory)
        : object_(object), layout_(layout), memory_(memory) {}

    // Finds the addresses of all symbols.
    void resolve(ObjectCode::Find find, void* context) {
        for (size_t i = 0; i < object_.symbols().size(); ++i) {
            const Elf64_Sym& symbol = object_.symbols()[i];
            uintptr_t address = 0;
            if (symbol.st_shndx == SHN_UNDEF) {
                if (i > 0) address = find(context, object_.name(symbol));
                require(i == 0 || address != 0);
            } else if (symbol.st_shndx != SHN_ABS) {
                require(symbol.st_shndx < layout_.sections.size());
                const size_t section = layout_.sections[symbol.st_shndx];
                require(section != Layout::kNone || ELF64_ST_TYPE(symbol.st_info) == STT_SECTION);
                address = reinterpret_cast<uintptr_t>(memory_) + section + symbol.st_value;
            }
            addresses_.push_back(address);
        }
    }

    void copy() {
        for (size_t i = 0; i < object_.sections().size(); ++i) {
            const Elf64_Shdr& section = object_.sections()[i];
            if (layout_.sections[i] == Layout::kNone) continue;
            std::memcpy(memory_ + layout_.sections[i], object_.data() + section.sh_offset,
                        section.sh_size);
        }
    }

    void relocate() {
        for (const Elf64_Shdr& section : object_.sections()) {
            require(section.sh_type != SHT_REL);
            if (section.sh_type != SHT_RELA) continue;
            require(section.sh_info < object_.sections().size());
            const size_t target = layout_.sections[section.sh_info];
            if (target == Layout::kNone) continue;
            for (const Elf64_Rela& r : object_.all<Elf64_Rela>(section)) {
                const size_t room = object_.sections()[section.sh_info].sh_size;
                require(r.r_offset <= room && room - r.r_offset >= sizeof(int32_t));
                put(memory_ + target + r.r_offset, r);
            }
        }
    }

    uintptr_t address(size_t symbol) const { return addresses_[symbol]; }

private:
    void put(uint8_t* place, const Elf64_Rela& r) {
        const size_t symbol = ELF64_R_SYM(r.r_info);
        require(symbol < addresses_.size());
        uintptr_t to = addresses_[symbol];
        switch (ELF64_R_TYPE(r.r_info)) {
            case R_X86_64_PC32: break;
            case R_X86_64_PLT32:
                if (object_.symbols()[symbol].st_shndx == SHN_UNDEF) to = slot(symbol) + sizeof(to);
                break;
            case R_X86_64_GOTPCREL:
            case R_X86_64_GOTPCRELX:
            case R_X86_64_REX_GOTPCRELX: to = slot(symbol); break;
            default: throw NotTaken();
        }
        const auto away = static_cast<int64_t>(to + r.r_addend - reinterpret_cast<uintptr_t>(place));
        const auto near = static_cast<int32_t>(away);
        require(near == away);
        std::memcpy(place, &near, sizeof(near));
    }

    // A symbol's address in memory, and behind it a jump there.
    uintptr_t slot(size_t symbol) {
        constexpr uint8_t kJump[] = {0xff, 0x25, 0xf2, 0xff, 0xff, 0xff};  // jmp *-14(%rip)
        uint8_t* at = memory_ + layout_.slots + symbol * kSlotBytes;
        std::memcpy(at, &addresses_[symbol], sizeof(uintptr_t));
        std::memcpy(at + sizeof(uintptr_t), kJump, sizeof(kJump));
        return reinterpret_cast<uintptr_t>(at);
    }

    const Object& object_;
    const Layout& layout_;
    uint8_t* memory_;
    std::vector<uintptr_t> addresses_;
};

}  // namespace

ObjectCode::~ObjectCode() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
}

ObjectCode::Outcome ObjectCode::link(const uint8_t* data, size_t size, Find find, void* context) {
    try {
        const Object object(data, size);
        const Layout layout(object);
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t bytes = align(std::max<size_t>(layout.bytes, 1), page);
        void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (got == MAP_FAILED) return Outcome::kNoRoom;
        memory_ = static_cast<uint8_t*>(got);
        bytes_ = bytes;
        Placing placing(object, layout, memory_);
        placing.resolve(find, context);
        placing.copy();
        placing.relocate();
        // Never both written and run.
        if (mprotect(memory_, bytes_, PROT_READ | PROT_EXEC) != 0) return Outcome::kNoRoom;
        for (size_t i = 0; i < object.symbols().size(); ++i) {
            const Elf64_Sym& symbol = object.symbols()[i];
            if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
            functions_.emplace(object.name(symbol), placing.address(i));
        }
        return Outcome::kDone;
    } catch (const NotTaken&) {
        return Outcome::kNotTaken;
    }
}

#else

ObjectCode::~ObjectCode() = default;

ObjectCode::Outcome ObjectCode::link(const uint8_t*, size_t, Find, void*) {
    return Outcome::kNotTaken;
}

#endif

}  // namespace covector
