"""Writes a 2-layer Llama config and an 8,000-token byte-level BPE tokenizer, with no weights.

Usage: python tiny_model.py OUT_DIR      (needs transformers and tokenizers; asks no model hub)
Serve it with `vllm serve OUT_DIR --load-format dummy`.
"""

import glob
import os
import sys
import sysconfig

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
corpus = [open(f, errors="ignore").read() for f in glob.glob(os.path.join(sysconfig.get_paths()["stdlib"], "*.py"))]
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
bpe.train_from_iterator(
    corpus,
    trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ),
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=8192
)
tokenizer.chat_template = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
tokenizer.save_pretrained(out)
LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=8192,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=3,
    tie_word_embeddings=True,
    architectures=["LlamaForCausalLM"],
    dtype="bfloat16",
).save_pretrained(out)
